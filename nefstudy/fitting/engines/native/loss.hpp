// Losses of a tile, and their gradients with respect to the outputs; the laws are those of fields/loss.py.

#pragma once

#include "network.hpp"
#include "sincos.hpp"

namespace nefstudy {

// Returns the sum of the losses of a tile's points and channels, and fills the gradient of their mean: share is 1 /
// (points * channels) of all tiles. targets[c * stride + p] belongs to channel c and point p.
inline double tile_loss(Tile& tile, const Shape& shape, const float* targets, ptrdiff_t stride, float share) {
  double total = 0;
  for (int c = 0; c < shape.out_dim; c++) {
    vec losses = vec{};
    for (int first = 0; first < tile.points; first += LANES) {
      const ivec used = first_lanes(tile.points - first);
      const vec output = load(tile.outputs[c] + first), target = load(targets + c * stride + first);
      vec loss, slope;
      if (shape.loss == MSE) {
        const vec error = output - target;
        loss = error * error;
        slope = error * (2.0f * share);
      } else {
        const vec small = exp_negative(-magnitude(output)), inverse = 1.0f / (1.0f + small);
        const vec probability = select(output < 0.0f, small * inverse, inverse);
        loss = select(output < 0.0f, vec{}, output) - output * target + log_of_one_plus(small);
        slope = (probability - target) * share;
      }
      losses += select(used, loss, vec{});
      store(tile.slopes[c] + first, select(used, slope, vec{}));
    }
    total += sum(losses);
  }
  return total;
}

}  // namespace nefstudy
