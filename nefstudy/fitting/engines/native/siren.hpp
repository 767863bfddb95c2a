// Forward and backward pass of a SIREN over one tile of points; the law is that of fields/siren.py.

#pragma once

#include "network.hpp"
#include "sincos.hpp"

namespace nefstudy {

class SirenPass {
 public:
  SirenPass(const Network& net, const Weights& weights) : net_(net), weights_(weights) {
    for (size_t l = 0; l + 1 < net.blocks.size(); l++) {
      sines_.emplace_back(net.blocks[l].vectors());
      cosines_.emplace_back(net.blocks[l].vectors());
    }
  }

  void forward(Tile& tile) {
    const float* inputs = tile.coords + 1;
    ptrdiff_t pitch = POINT;
    for (size_t l = 0; l < sines_.size(); l++) {
      layer(tile.points, inputs, pitch, net_.blocks[l], sines_[l].get(), cosines_[l].get(), sines_[l].pitch);
      inputs = sines_[l].get();
      pitch = sines_[l].pitch;
    }
    compute_outputs(tile, inputs, pitch, net_.blocks.back(), weights_.forward(net_.blocks.back()));
  }

  // Adds the tile's gradients; the gradients of the angles, without omega, take the place of the cosines
  void backward(const Tile& tile) {
    const Block& last = net_.blocks.back();
    const ptrdiff_t pitch = sines_.back().pitch;
    float* top = cosines_.back().get();
    add_last_gradient(tile, sines_.back().get(), pitch, last, weights_.forward(last), weights_.slope(last),
                      [=](int p, int v, vec back) NEFSTUDY_INLINED {
                        float* at = top + p * pitch + v * LANES;
                        store(at, load(at) * back);
                      });
    for (int l = static_cast<int>(sines_.size()) - 1; l >= 0; l--) {
      const Block& block = net_.blocks[l];
      const float* inputs = l ? sines_[l - 1].get() - 1 : tile.coords;
      add_gradient(tile.points, inputs, l ? sines_[l - 1].pitch : POINT, cosines_[l].get(), pitch,
                   weights_.slope(block), block.pitch(), block.inputs + 1, block.vectors());
      if (l > 0) below(tile.points, block, cosines_[l].get(), cosines_[l - 1].get(), pitch);
    }
  }

 private:
  void layer(int points, const float* inputs, ptrdiff_t pitch, const Block& block, float* sines, float* cosines,
             ptrdiff_t out) {
    const float* weights = weights_.forward(block);
    for_points(
        points, inputs, pitch, weights + block.pitch(), block.pitch(), block.inputs, block.vectors(),
        [=](int, int v) NEFSTUDY_INLINED { return load(weights + v * LANES); },
        [=](int p, int v, vec angle) NEFSTUDY_INLINED {
          vec sine, cosine;
          sincos(angle, sine, cosine);
          store(sines + p * out + v * LANES, sine);
          store(cosines + p * out + v * LANES, cosine);
        });
  }

  void below(int points, const Block& block, const float* angles, float* cosines, ptrdiff_t pitch) {
    for_points(
        points, angles, pitch, weights_.backward(block), block.back_pitch(), block.outputs, block.input_vectors(),
        [](int, int) NEFSTUDY_INLINED { return vec{}; },
        [=](int p, int v, vec back) NEFSTUDY_INLINED {
          float* at = cosines + p * pitch + v * LANES;
          store(at, load(at) * back);
        });
  }

  const Network& net_;
  const Weights& weights_;
  std::vector<Rows> sines_, cosines_;
};

}  // namespace nefstudy
