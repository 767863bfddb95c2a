// The parameters of a field in memory: blocks of padded matrices, each with its bias as first row.

#pragma once

#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <vector>

#include "product.hpp"

namespace nefstudy {

enum Kind : int32_t { SIREN = 0, RFFNET = 1, MFN = 2 };
enum LossKind : int32_t { MSE = 0, BCE = 1 };
constexpr int MAX_CHANNELS = 4;
constexpr int POINT = 4;  // floats of a point: 1, then up to three coordinates

// A problem as the caller passes it; see engine.py
struct Shape {
  int32_t kind, in_dim, out_dim, hidden, layers, loss, adam, trains_frequencies;
  float scale;  // omega_0 of a SIREN, 2 pi std of an RFFNet
};

// Zeros, aligned for vectors
class Floats {
 public:
  explicit Floats(size_t count) : data_(nullptr, &std::free) {
    const size_t bytes = (count * sizeof(float) + 127) / 64 * 64;
    data_.reset(static_cast<float*>(std::aligned_alloc(64, bytes)));
    if (!data_) throw std::bad_alloc();
    std::memset(data_.get(), 0, bytes);
  }
  float* get() const { return data_.get(); }

 private:
  std::unique_ptr<float, void (*)(void*)> data_;
};

constexpr int vectors_of(int units) { return (units + LANES - 1) / LANES; }

// One affine map. Its kernel has a row for each input; an output layer's is stored transposed, with the bias last.
struct Block {
  int inputs, outputs;
  int split = 0;  // inputs from this one on begin a new vector; 0: none
  bool bias = true, last = false, trained = true;
  float angle = 1.0f;   // factor of the weights in the forward pass
  float factor = 1.0f;  // factor of the gradient, and of the weights in the backward pass
  bool goes_back = false;
  int offset = 0, back = 0;

  int padded_inputs() const { return split ? 2 * vectors_of(split) * LANES : inputs; }
  int input_vectors() const { return split ? 2 * vectors_of(split) : vectors_of(inputs); }
  int vectors() const { return last ? input_vectors() : vectors_of(outputs); }
  int pitch() const { return vectors() * LANES; }
  int size() const {
    return last ? outputs * pitch() + vectors_of(outputs) * LANES : (padded_inputs() + bias) * pitch();
  }
  int back_pitch() const { return input_vectors() * LANES; }
  int place(int input) const { return split && input >= split ? input - split + vectors_of(split) * LANES : input; }
  int bias_at(int output) const { return offset + (last ? outputs * pitch() : 0) + output; }
  int kernel_at(int input, int output) const {
    return offset + (last ? output * pitch() + place(input) : (place(input) + bias) * pitch() + output);
  }
};

// The blocks of a field, in the order of its flat row
struct Network {
  Shape shape;
  std::vector<Block> blocks;
  std::vector<int> places;  // of each number of the flat row
  int size = 0, back_size = 0;

  explicit Network(const Shape& given) : shape(given) {
    constexpr float PI = 3.14159265358979323846f;
    const int in = given.in_dim, out = given.out_dim, hidden = given.hidden, layers = given.layers;
    if (given.kind == SIREN) {
      for (int l = 0; l + 1 < layers; l++) {
        Block& block = add(l ? hidden : in, hidden);
        block.angle = given.scale / PI;
        block.factor = given.scale;
        block.goes_back = l > 0;
      }
    } else if (given.kind == RFFNET) {
      Block& frequencies = add(in, hidden / 2);
      frequencies.bias = false;
      frequencies.trained = given.trains_frequencies;
      frequencies.angle = given.scale / PI;
      frequencies.factor = given.scale;
      for (int l = 0; l + 1 < layers; l++) {
        Block& block = add(hidden, hidden);
        block.split = l ? 0 : hidden / 2;
        block.goes_back = l > 0 || given.trains_frequencies;
      }
    } else {
      for (int i = 0; i < layers; i++) add(in, hidden).angle = 1 / PI;
      for (int i = 0; i + 1 < layers; i++) add(hidden, hidden).goes_back = true;
    }
    Block& output = add(hidden, out);
    output.last = true;
    output.split = given.kind == RFFNET && layers == 1 ? hidden / 2 : 0;
    for (Block& block : blocks) place(block);
  }

 private:
  Block& add(int inputs, int outputs) {
    blocks.push_back(Block{inputs, outputs});
    return blocks.back();
  }

  void place(Block& block) {
    block.offset = size;
    block.back = back_size;
    size += block.size();
    if (block.goes_back) back_size += block.outputs * block.back_pitch();
    for (int o = 0; o < block.outputs && block.bias; o++) places.push_back(block.bias_at(o));
    for (int i = 0; i < block.inputs; i++)
      for (int o = 0; o < block.outputs; o++) places.push_back(block.kernel_at(i, o));
  }
};

// Parameters, and the copies of them that the passes multiply by
struct Weights {
  Floats own, scaled, back, gradient;

  explicit Weights(const Network& net) : own(net.size), scaled(net.size), back(net.back_size), gradient(net.size) {}

  const float* forward(const Block& block) const { return (block.angle == 1.0f ? own : scaled).get() + block.offset; }
  const float* backward(const Block& block) const { return back.get() + block.back; }
  float* slope(const Block& block) const { return gradient.get() + block.offset; }

  void refresh(const Network& net) {
    for (const Block& block : net.blocks) {
      const float* from = own.get() + block.offset;
      float* to = scaled.get() + block.offset;
      if (block.angle != 1.0f)
        for (int i = 0; i < block.size(); i += LANES) store(to + i, load(from + i) * block.angle);
      if (!block.goes_back) continue;
      turn(block, from + block.bias * block.pitch(), back.get() + block.back);
    }
  }

 private:
  static void turn(const Block& block, const float* kernel, float* to) {
    const int inputs = block.padded_inputs(), pitch = block.pitch(), back_pitch = block.back_pitch();
    for (int o = 0; o < block.outputs; o += LANES)
      for (int i = 0; i < inputs; i += LANES) {
        vec rows[LANES];
        for (int r = 0; r < LANES; r++) rows[r] = i + r < inputs ? load(kernel + (i + r) * pitch + o) : vec{};
        transpose(rows);
        const int count = block.outputs - o < LANES ? block.outputs - o : LANES;
        for (int r = 0; r < count; r++) store(to + (o + r) * back_pitch + i, rows[r] * block.factor);
      }
  }
};

// Activations of a tile: a row for each point, preceded by a one, by which a weight gradient sums the bias's
struct Rows {
  Floats memory;
  ptrdiff_t pitch;

  explicit Rows(int vectors) : memory((1 + TILE * (vectors + 1)) * LANES), pitch((vectors + 1) * LANES) {
    for (int p = 0; p < TILE; p++) get()[p * pitch - 1] = 1.0f;
  }
  float* get() const { return memory.get() + LANES; }
};

// A tile of points, its outputs, and the loss's gradient with respect to them
struct Tile {
  const float* coords;  // POINT floats for each point
  int points;
  alignas(64) float outputs[MAX_CHANNELS][TILE];
  alignas(64) float slopes[MAX_CHANNELS][TILE];
};

// Fills the outputs of the last layer at the points of a tile
inline void compute_outputs(Tile& tile, const float* inputs, ptrdiff_t pitch, const Block& block,
                            const float* weights) {
  const int vectors = block.vectors();
  for (int c = 0; c < block.outputs; c++) {
    const float* kernel = weights + c * block.pitch();
    const float bias = weights[block.outputs * block.pitch() + c];
    for (int first = 0; first < tile.points; first += LANES) {
      vec products[LANES];
      for (int i = 0; i < LANES; i++) {
        const float* row = inputs + (first + i) * pitch;
        products[i] = vec{};
        for (int v = 0; v < vectors; v++)
          products[i] = fma(load(row + v * LANES), load(kernel + v * LANES), products[i]);
      }
      store(tile.outputs[c] + first, sums(products) + bias);
    }
  }
}

template <int C, class Finish>
NEFSTUDY_INLINE void last_gradient(const Tile& tile, const float* inputs, ptrdiff_t pitch, const Block& block,
                                   const float* weights, float* gradient, const Finish& finish) {
  const int ld = block.pitch(), points = tile.points;
  for (int v = 0; v < block.vectors(); v++) {
    vec kernel[C], slope[C];
    for (int c = 0; c < C; c++) {
      kernel[c] = load(weights + c * ld + v * LANES);
      slope[c] = load(gradient + c * ld + v * LANES);
    }
    for (int p = 0; p < points; p++) {
      const vec input = load(inputs + p * pitch + v * LANES);
      vec back = vec{};
      for (int c = 0; c < C; c++) {
        const vec scalar = splat(tile.slopes[c][p]);
        slope[c] = fma(scalar, input, slope[c]);
        back = c ? fma(scalar, kernel[c], back) : scalar * kernel[c];
      }
      finish(p, v, back);
    }
    for (int c = 0; c < C; c++) store(gradient + c * ld + v * LANES, slope[c]);
  }
  for (int c = 0; c < C; c++)
    for (int p = 0; p < points; p++) gradient[C * ld + c] += tile.slopes[c][p];
}

// Adds the last layer's gradient, and calls finish(p, v, gradient of its inputs)
template <class Finish>
NEFSTUDY_INLINE void add_last_gradient(const Tile& tile, const float* inputs, ptrdiff_t pitch, const Block& block,
                                       const float* weights, float* gradient, const Finish& finish) {
  switch (block.outputs) {
    case 1: return last_gradient<1>(tile, inputs, pitch, block, weights, gradient, finish);
    case 2: return last_gradient<2>(tile, inputs, pitch, block, weights, gradient, finish);
    case 3: return last_gradient<3>(tile, inputs, pitch, block, weights, gradient, finish);
    default: return last_gradient<4>(tile, inputs, pitch, block, weights, gradient, finish);
  }
}

}  // namespace nefstudy
