// Products of narrow matrices, whose sums stay in registers until a function has finished them.
//
// One loop serves forward pass, input gradient and weight gradient: only strides differ. Every entry is summed in the
// order of the inner dimension, whatever the division into blocks.

#pragma once

#include "vector.hpp"

namespace nefstudy {

constexpr int TILE = 48;  // points computed together; a multiple of every number of rows and of every vector's lanes

// The most rows of a block of so many vectors: its sums, a row of the right factor and one scalar fill the registers
constexpr int most_rows(int vectors) {
  if (vectors == 1) return MANY_REGISTERS ? 12 : 8;
  if (vectors == 2) return MANY_REGISTERS ? 8 : 6;
  return MANY_REGISTERS ? 8 : 4;
}

enum class Left { ALONG, ACROSS };  // whether a row of the left factor lies along or across memory

template <Left LEFT, int R, int W, class Start, class Finish>
NEFSTUDY_INLINE void block(const float* a, ptrdiff_t pitch, const float* b, ptrdiff_t ldb, int inner, int row,
                           int column, const Start& start, const Finish& finish) {
  vec sum[R][W];
  NEFSTUDY_UNROLLED for (int r = 0; r < R; r++)
    NEFSTUDY_UNROLLED for (int w = 0; w < W; w++) sum[r][w] = start(row + r, column + w);
  const float* left = LEFT == Left::ALONG ? a + row * pitch : a + row;
  const float* right = b + column * LANES;
  for (int k = 0; k < inner; k++) {
    vec values[W];
    NEFSTUDY_UNROLLED for (int w = 0; w < W; w++) values[w] = load(right + k * ldb + w * LANES);
    NEFSTUDY_UNROLLED for (int r = 0; r < R; r++) {
      const vec scalar = splat(LEFT == Left::ALONG ? left[r * pitch + k] : left[k * pitch + r]);
      NEFSTUDY_UNROLLED for (int w = 0; w < W; w++) sum[r][w] = fma(scalar, values[w], sum[r][w]);
    }
  }
  NEFSTUDY_UNROLLED for (int r = 0; r < R; r++)
    NEFSTUDY_UNROLLED for (int w = 0; w < W; w++) finish(row + r, column + w, sum[r][w]);
}

// Calls `panel` with the number of vectors and the first vector of each group of columns
template <class Panel>
NEFSTUDY_INLINE void for_panels(int vectors, const Panel& panel) {
  int column = 0;
  if (vectors % 2 == 1) {
    if (vectors == 1) return panel(std::integral_constant<int, 1>(), 0);
    panel(std::integral_constant<int, 3>(), 0);
    column = 3;
  }
  for (; column < vectors; column += 2) panel(std::integral_constant<int, 2>(), column);
}

// finish(p, v, start(p, v) + a[p, :] b[:, v]) for each point p of a tile, rounded up to whole blocks, and each vector v
// of b's columns. Points beyond the tile's last have any values: a point's row depends on no other.
template <class Start, class Finish>
NEFSTUDY_INLINE void for_points(int points, const float* a, ptrdiff_t pitch, const float* b, ptrdiff_t ldb, int inner,
                                int vectors, const Start& start, const Finish& finish) {
  for_panels(vectors, [&](auto width, int column) NEFSTUDY_INLINED {
    constexpr int W = decltype(width)::value, R = most_rows(W);
    for (int row = 0; row < points; row += R)
      block<Left::ALONG, R, W>(a, pitch, b, ldb, inner, row, column, start, finish);
  });
}

template <int W, int R>
inline void gradient_rows(int rows, const float* a, ptrdiff_t pitch, const float* b, ptrdiff_t ldb, int points, int row,
                          int column, float* out, ptrdiff_t ldo) {
  if constexpr (R > 0) {
    if (rows < R) return gradient_rows<W, R - 1>(rows, a, pitch, b, ldb, points, row, column, out, ldo);
    block<Left::ACROSS, R, W>(
        a, pitch, b, ldb, points, row, column,
        [=](int r, int w) NEFSTUDY_INLINED { return load(out + r * ldo + w * LANES); },
        [=](int r, int w, vec value) NEFSTUDY_INLINED { store(out + r * ldo + w * LANES, value); });
  }
}

// out[rows, vectors] += a[points, rows]^T b[points, vectors]; rows are divided evenly, so that no block is small
inline void add_gradient(int points, const float* a, ptrdiff_t pitch, const float* b, ptrdiff_t ldb, float* out,
                         ptrdiff_t ldo, int rows, int vectors) {
  for_panels(vectors, [&](auto width, int column) NEFSTUDY_INLINED {
    constexpr int W = decltype(width)::value, MOST = most_rows(W);
    const int blocks = (rows + MOST - 1) / MOST, small = rows / blocks, larger = rows % blocks;
    for (int i = 0, row = 0; i < blocks; i++) {
      const int count = small + (i < larger);
      gradient_rows<W, MOST>(count, a, pitch, b, ldb, points, row, column, out, ldo);
      row += count;
    }
  });
}

}  // namespace nefstudy
