// Forward and backward pass of an MFN over one tile of points; the law is that of fields/mfn.py.

#pragma once

#include "network.hpp"
#include "sincos.hpp"

namespace nefstudy {

class MfnPass {
 private:
  // Turns the gradient of the state after a filter, multiplied by a linear map, into those of the map and the angles
  auto below(int i) {
    float *sines = sines_[i].get(), *cosines = cosines_[i].get();
    const float* linears = linears_[i - 1].get();
    const ptrdiff_t pitch = pitch_;
    return [=](int p, int v, vec back) NEFSTUDY_INLINED {
      const ptrdiff_t at = p * pitch + v * LANES;
      store(cosines + at, back * load(linears + at) * load(cosines + at));
      store(sines + at, back * load(sines + at));
    };
  }

  // The same for the first filter, which multiplies nothing
  auto bottom() {
    float* cosines = cosines_[0].get();
    const ptrdiff_t pitch = pitch_;
    return [=](int p, int v, vec back) NEFSTUDY_INLINED {
      float* at = cosines + p * pitch + v * LANES;
      store(at, back * load(at));
    };
  }

  template <class Finish>
  void last_slope(const Tile& tile, const Finish& finish) {
    const Block& last = net_.blocks.back();
    add_last_gradient(
        tile, state(filters_ - 1).get(), pitch_, last, weights_.forward(last), weights_.slope(last), finish);
  }

  template <class Finish>
  void state_slope(int points, int i, const Finish& finish) {
    const Block& linear = net_.blocks[filters_ + i];
    for_points(
        points, sines_[i + 1].get(), pitch_, weights_.backward(linear), linear.back_pitch(), linear.outputs,
        linear.input_vectors(), [](int, int) NEFSTUDY_INLINED { return vec{}; }, finish);
  }

 public:
  MfnPass(const Network& net, const Weights& weights) : net_(net), weights_(weights), filters_(net.shape.layers) {
    const int vectors = vectors_of(net.shape.hidden);
    for (int i = 0; i < filters_; i++) {
      sines_.emplace_back(vectors);
      cosines_.emplace_back(vectors);
      if (i == 0) continue;
      linears_.emplace_back(vectors);
      states_.emplace_back(vectors);
    }
    pitch_ = sines_[0].pitch;
  }

  void forward(Tile& tile) {
    for (int i = 0; i < filters_; i++) filter(tile, i);
    for (int i = 0; i + 1 < filters_; i++) linear(tile.points, i);
    compute_outputs(tile, state(filters_ - 1).get(), pitch_, net_.blocks.back(), weights_.forward(net_.blocks.back()));
  }

  // Adds the tile's gradients; those of the angles take the place of the cosines, of the linear maps that of the sines
  void backward(const Tile& tile) {
    if (filters_ == 1)
      last_slope(tile, bottom());
    else
      last_slope(tile, below(filters_ - 1));
    for (int i = filters_ - 1; i >= 0; i--) {
      const Block& filter = net_.blocks[i];
      add_gradient(tile.points, tile.coords, POINT, cosines_[i].get(), pitch_, weights_.slope(filter), filter.pitch(),
                   filter.inputs + 1, filter.vectors());
      if (i == 0) break;
      const Block& linear = net_.blocks[filters_ + i - 1];
      add_gradient(tile.points, state(i - 1).get() - 1, pitch_, sines_[i].get(), pitch_, weights_.slope(linear),
                   linear.pitch(), linear.inputs + 1, linear.vectors());
      if (i == 1)
        state_slope(tile.points, 0, bottom());
      else
        state_slope(tile.points, i - 1, below(i - 1));
    }
  }

 private:
  // The state after a filter; the first is its sines, which `backward` replaces only when they are not needed any more
  const Rows& state(int i) const { return i ? states_[i - 1] : sines_[0]; }

  void filter(const Tile& tile, int i) {
    const Block& block = net_.blocks[i];
    const float* weights = weights_.forward(block);
    float *sines = sines_[i].get(), *cosines = cosines_[i].get();
    const ptrdiff_t pitch = pitch_;
    for_points(
        tile.points, tile.coords + 1, POINT, weights + block.pitch(), block.pitch(), block.inputs, block.vectors(),
        [=](int, int v) NEFSTUDY_INLINED { return load(weights + v * LANES); },
        [=](int p, int v, vec angle) NEFSTUDY_INLINED {
          vec sine, cosine;
          sincos(angle, sine, cosine);
          store(sines + p * pitch + v * LANES, sine);
          store(cosines + p * pitch + v * LANES, cosine);
        });
  }

  void linear(int points, int i) {
    const Block& block = net_.blocks[filters_ + i];
    const float *weights = weights_.forward(block), *sines = sines_[i + 1].get();
    float *linears = linears_[i].get(), *states = states_[i].get();
    const ptrdiff_t pitch = pitch_;
    for_points(
        points, state(i).get(), pitch, weights + block.pitch(), block.pitch(), block.inputs, block.vectors(),
        [=](int, int v) NEFSTUDY_INLINED { return load(weights + v * LANES); },
        [=](int p, int v, vec value) NEFSTUDY_INLINED {
          const ptrdiff_t at = p * pitch + v * LANES;
          store(linears + at, value);
          store(states + at, value * load(sines + at));
        });
  }

  const Network& net_;
  const Weights& weights_;
  const int filters_;
  ptrdiff_t pitch_;
  std::vector<Rows> sines_, cosines_, linears_, states_;
};

}  // namespace nefstudy
