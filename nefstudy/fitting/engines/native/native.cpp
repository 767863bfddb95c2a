// Fits of one field by one thread, with sizes that are known only when it runs: no size is compiled.
//
// Points are rows and hidden units lie along vectors, padded with zeros. A tile of points passes forward and backward
// through the field before the next one, so its activations stay in the caches; gradients sum up over tiles in order.

#include <cfenv>

#include "loss.hpp"
#include "mfn.hpp"
#include "optimizer.hpp"
#include "rffnet.hpp"
#include "siren.hpp"

namespace nefstudy {

// The caller's floating-point settings, such as flushed denormals, do not apply inside
class Environment {
 public:
  Environment() {
    std::fegetenv(&before_);
    std::fesetenv(FE_DFL_ENV);
  }
  ~Environment() { std::fesetenv(&before_); }

 private:
  std::fenv_t before_;
};

// Coordinates and targets of a step, arranged for tiles
class Points {
 public:
  Points(const Shape& shape, int count)
      : shape_(shape),
        count_(count),
        stride_((count + TILE + LANES - 1) / LANES * LANES),
        coords_(static_cast<size_t>(count + TILE) * POINT),
        targets_(static_cast<size_t>(shape.out_dim) * stride_) {}

  void take(const float* coords, const float* targets) {
    for (int p = 0; p < count_; p++) {
      float* point = coords_.get() + p * POINT;
      point[0] = 1.0f;
      for (int d = 0; d < shape_.in_dim; d++) point[1 + d] = coords[p * shape_.in_dim + d];
      for (int c = 0; c < shape_.out_dim; c++) targets_.get()[c * stride_ + p] = targets[p * shape_.out_dim + c];
    }
  }

  template <class Pass>
  float loss(Pass& pass, bool with_gradient) const {
    Tile tile = {};
    const float size = static_cast<float>(count_ * shape_.out_dim);
    double total = 0;
    for (int first = 0; first < count_; first += TILE) {
      tile.coords = coords_.get() + first * POINT;
      tile.points = count_ - first < TILE ? count_ - first : TILE;
      pass.forward(tile);
      total += tile_loss(tile, shape_, targets_.get() + first, stride_, 1.0f / size);
      if (with_gradient) pass.backward(tile);
    }
    return static_cast<float>(total) / size;
  }

 private:
  const Shape& shape_;
  const int count_;
  const ptrdiff_t stride_;
  Floats coords_, targets_;
};

// The points of consecutive steps; a stride of 0 gives every step the same ones
struct Window {
  const float *coords, *targets;
  int64_t coords_stride, targets_stride;
  int32_t points, steps;
};

inline void pack(const Network& net, const float* row, float* padded) {
  for (size_t i = 0; i < net.places.size(); i++) padded[net.places[i]] = row[i];
}

inline void unpack(const Network& net, const float* padded, float* row) {
  for (size_t i = 0; i < net.places.size(); i++) row[i] = padded[net.places[i]];
}

template <class Pass>
int fit(const Shape& shape, float* row, float* mean, float* variance, const Window& window,
        const StepScalars* scalars) {
  const Network net(shape);
  Weights weights(net);
  Floats padded_mean(net.size), padded_variance(net.size);
  pack(net, row, weights.own.get());
  pack(net, mean, padded_mean.get());
  pack(net, variance, padded_variance.get());
  weights.refresh(net);
  Pass pass(net, weights);
  Points points(shape, window.points);
  int step = 0;
  for (; step < window.steps; step++) {
    if (step == 0 || window.coords_stride || window.targets_stride)
      points.take(window.coords + step * window.coords_stride, window.targets + step * window.targets_stride);
    std::memset(weights.gradient.get(), 0, net.size * sizeof(float));
    if (!std::isfinite(points.loss(pass, true))) break;
    update(net, weights, padded_mean.get(), padded_variance.get(), scalars[step]);
  }
  unpack(net, weights.own.get(), row);
  unpack(net, padded_mean.get(), mean);
  unpack(net, padded_variance.get(), variance);
  return step;
}

template <class Pass>
float loss(const Shape& shape, const float* row, const Window& window) {
  const Network net(shape);
  Weights weights(net);
  pack(net, row, weights.own.get());
  weights.refresh(net);
  Pass pass(net, weights);
  Points points(shape, window.points);
  points.take(window.coords, window.targets);
  return points.loss(pass, false);
}

}  // namespace nefstudy

extern "C" {

const char* nefstudy_vector() { return NEFSTUDY_VECTOR; }

// Takes a window's steps, updating row, mean and variance. Returns the steps taken, fewer than the window's if the loss
// before the next one is not finite, or -1 if memory ran out.
int32_t nefstudy_fit(const nefstudy::Shape* shape, float* row, float* mean, float* variance,
                     const nefstudy::Window* window, const nefstudy::StepScalars* scalars) {
  using namespace nefstudy;
  const Environment defaults;
  try {
    if (shape->kind == SIREN) return fit<SirenPass>(*shape, row, mean, variance, *window, scalars);
    if (shape->kind == RFFNET) return fit<RffNetPass>(*shape, row, mean, variance, *window, scalars);
    return fit<MfnPass>(*shape, row, mean, variance, *window, scalars);
  } catch (const std::bad_alloc&) {
    return -1;
  }
}

// Stores the loss at a window's first points. Returns 0, or -1 if memory ran out.
int32_t nefstudy_loss(const nefstudy::Shape* shape, const float* row, const nefstudy::Window* window, float* result) {
  using namespace nefstudy;
  const Environment defaults;
  try {
    if (shape->kind == SIREN) *result = loss<SirenPass>(*shape, row, *window);
    else if (shape->kind == RFFNET) *result = loss<RffNetPass>(*shape, row, *window);
    else *result = loss<MfnPass>(*shape, row, *window);
    return 0;
  } catch (const std::bad_alloc&) {
    return -1;
  }
}

}  // extern "C"
