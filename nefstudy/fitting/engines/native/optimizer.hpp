// One step of AdamW or SGD on padded parameters; the laws are those of fitting/optimizer.py.

#pragma once

#include "network.hpp"

namespace nefstudy {

// The numbers of a step, as fitting/optimizer.py computes them
struct StepScalars {
  float step_size, correction, decay;
};

inline void adamw(float* row, float* mean, float* variance, const float* gradient, int size, float factor,
                  StepScalars scalars) {
  for (int i = 0; i < size; i += LANES) {
    const vec slope = load(gradient + i) * factor;
    const vec m = fma(splat(0.9f), load(mean + i), 0.1f * slope);
    const vec v = fma(splat(0.999f), load(variance + i), 0.001f * (slope * slope));
    store(mean + i, m);
    store(variance + i, v);
    const vec stride = scalars.step_size * m / (root(v) * scalars.correction + 1e-8f);
    store(row + i, load(row + i) * scalars.decay - stride);
  }
}

inline void sgd(float* row, const float* gradient, int size, float factor, StepScalars scalars) {
  for (int i = 0; i < size; i += LANES) {
    const vec slope = load(gradient + i) * factor;
    store(row + i, load(row + i) * scalars.decay - scalars.step_size * slope);
  }
}

// Pads stay zero: their gradients and moments are
inline void update(const Network& net, Weights& weights, float* mean, float* variance, StepScalars scalars) {
  for (const Block& block : net.blocks) {
    if (!block.trained) continue;
    float* row = weights.own.get() + block.offset;
    const float* gradient = weights.slope(block);
    if (net.shape.adam)
      adamw(row, mean + block.offset, variance + block.offset, gradient, block.size(), block.factor, scalars);
    else
      sgd(row, gradient, block.size(), block.factor, scalars);
  }
  weights.refresh(net);
}

}  // namespace nefstudy
