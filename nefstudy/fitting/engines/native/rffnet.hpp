// Forward and backward pass of an RFFNet over one tile of points; the law is that of fields/rffnet.py.

#pragma once

#include "network.hpp"
#include "sincos.hpp"

namespace nefstudy {

// As torch's relu, which keeps NaN
NEFSTUDY_INLINE vec rectified(vec value) { return select(value < 0.0f, vec{}, value); }

class RffNetPass {
 public:
  RffNetPass(const Network& net, const Weights& weights)
      : net_(net),
        weights_(weights),
        half_(net.blocks[0].vectors()),
        features_(2 * half_),
        features_slope_(2 * half_),
        pads_(first_lanes(net.blocks[0].outputs - (half_ - 1) * LANES)) {
    for (size_t l = 1; l + 1 < net.blocks.size(); l++) hidden_.emplace_back(net.blocks[l].vectors());
  }

  void forward(Tile& tile) {
    features(tile);
    const float* inputs = features_.get();
    ptrdiff_t pitch = features_.pitch;
    for (size_t l = 0; l < hidden_.size(); l++) {
      layer(tile.points, inputs, pitch, net_.blocks[l + 1], hidden_[l].get(), hidden_[l].pitch);
      inputs = hidden_[l].get();
      pitch = hidden_[l].pitch;
    }
    compute_outputs(tile, inputs, pitch, net_.blocks.back(), weights_.forward(net_.blocks.back()));
  }

  // Adds the tile's gradients; a layer's gradient takes the place of its values
  void backward(const Tile& tile) {
    const Block& last = net_.blocks.back();
    const float* weights = weights_.forward(last);
    float* slope = weights_.slope(last);
    float* below = features_slope_.get();
    const ptrdiff_t wide = features_slope_.pitch;
    if (hidden_.empty()) {
      add_last_gradient(tile, features_.get(), wide, last, weights, slope,
                        [=](int p, int v, vec back) NEFSTUDY_INLINED { store(below + p * wide + v * LANES, back); });
    } else {
      float* values = hidden_.back().get();
      const ptrdiff_t pitch = hidden_.back().pitch;
      add_last_gradient(tile, values, pitch, last, weights, slope, [=](int p, int v, vec back) NEFSTUDY_INLINED {
        float* at = values + p * pitch + v * LANES;
        store(at, select(load(at) > 0.0f, back, vec{}));
      });
    }
    for (int l = static_cast<int>(hidden_.size()) - 1; l >= 0; l--) {
      const Block& block = net_.blocks[l + 1];
      const Rows& inputs = l ? hidden_[l - 1] : features_;
      add_gradient(tile.points, inputs.get() - 1, inputs.pitch, hidden_[l].get(), hidden_[l].pitch,
                   weights_.slope(block), block.pitch(), block.padded_inputs() + 1, block.vectors());
      if (l > 0) hidden_slope(tile.points, block, l);
    }
    if (!net_.shape.trains_frequencies) return;
    if (!hidden_.empty()) top_slope(tile.points, net_.blocks[1]);
    frequencies(tile);
  }

 private:
  void features(const Tile& tile) {
    const Block& block = net_.blocks[0];
    const int half = half_;
    const ivec pads = pads_;
    float* to = features_.get();
    const ptrdiff_t pitch = features_.pitch;
    for_points(
        tile.points, tile.coords + 1, POINT, weights_.forward(block), block.pitch(), block.inputs, half,
        [](int, int) NEFSTUDY_INLINED { return vec{}; },
        [=](int p, int v, vec angle) NEFSTUDY_INLINED {
          vec sine, cosine;
          sincos(angle, sine, cosine);
          store(to + p * pitch + v * LANES, sine);
          store(to + p * pitch + (half + v) * LANES, v == half - 1 ? from_bits(bits(cosine) & pads) : cosine);
        });
  }

  void layer(int points, const float* inputs, ptrdiff_t pitch, const Block& block, float* to, ptrdiff_t out) {
    const float* weights = weights_.forward(block);
    for_points(
        points, inputs, pitch, weights + block.pitch(), block.pitch(), block.padded_inputs(), block.vectors(),
        [=](int, int v) NEFSTUDY_INLINED { return load(weights + v * LANES); },
        [=](int p, int v, vec value) NEFSTUDY_INLINED { store(to + p * out + v * LANES, rectified(value)); });
  }

  void hidden_slope(int points, const Block& block, int l) {
    float* values = hidden_[l - 1].get();
    const ptrdiff_t pitch = hidden_[l - 1].pitch;
    for_points(
        points, hidden_[l].get(), hidden_[l].pitch, weights_.backward(block), block.back_pitch(), block.outputs,
        block.input_vectors(), [](int, int) NEFSTUDY_INLINED { return vec{}; },
        [=](int p, int v, vec back) NEFSTUDY_INLINED {
          float* at = values + p * pitch + v * LANES;
          store(at, select(load(at) > 0.0f, back, vec{}));
        });
  }

  void top_slope(int points, const Block& block) {
    float* to = features_slope_.get();
    const ptrdiff_t pitch = features_slope_.pitch;
    for_points(
        points, hidden_[0].get(), hidden_[0].pitch, weights_.backward(block), block.back_pitch(), block.outputs,
        block.input_vectors(), [](int, int) NEFSTUDY_INLINED { return vec{}; },
        [=](int p, int v, vec back) NEFSTUDY_INLINED { store(to + p * pitch + v * LANES, back); });
  }

  // From the gradient of sines and cosines to that of the angles, without their factor, and of the frequencies
  void frequencies(const Tile& tile) {
    const Block& block = net_.blocks[0];
    const ptrdiff_t pitch = features_.pitch;
    for (int p = 0; p < tile.points; p++) {
      float *slope = features_slope_.get() + p * pitch, *value = features_.get() + p * pitch;
      for (int v = 0; v < half_; v++) {
        const int sine = v * LANES, cosine = (half_ + v) * LANES;
        store(slope + sine, load(slope + sine) * load(value + cosine) - load(slope + cosine) * load(value + sine));
      }
    }
    add_gradient(tile.points, tile.coords + 1, POINT, features_slope_.get(), pitch, weights_.slope(block),
                 block.pitch(), block.inputs, half_);
  }

  const Network& net_;
  const Weights& weights_;
  const int half_;  // vectors of sines, and as many of cosines
  Rows features_, features_slope_;
  const ivec pads_;  // the used lanes of the last vector of cosines
  std::vector<Rows> hidden_;
};

}  // namespace nefstudy
