// Batched products of narrow matrices, one lane after the other. Every entry is computed by the same sequence of
// operations wherever it lies, in whichever lane: no choice here depends on an address.

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <torch/library.h>

namespace {

#if defined(__AVX512F__)
constexpr int64_t LANE = 16, ROWS = 8, WIDE = 3, SIDE = 4;  // 24 sums in 32 registers
#elif defined(__AVX__)
constexpr int64_t LANE = 8, ROWS = 4, WIDE = 3, SIDE = 3;  // 12 sums in 16 registers
#else
constexpr int64_t LANE = 4, ROWS = 4, WIDE = 3, SIDE = 3;
#endif
typedef float vec __attribute__((vector_size(LANE * 4), aligned(4), may_alias));

inline vec load(const float* from) { return *reinterpret_cast<const vec*>(from); }

// out[R, W * LANE] = a[R, K] b[K, W * LANE]
template <int64_t R, int64_t W>
inline void tile(const float* a, int64_t am, int64_t ak, const float* b, int64_t ldb, float* out, int64_t ldo, int64_t K) {
  vec sum[R][W] = {};
  for (int64_t k = 0; k < K; k++) {
    vec right[W];
    for (int64_t w = 0; w < W; w++) right[w] = load(b + k * ldb + w * LANE);
    for (int64_t r = 0; r < R; r++)
      for (int64_t w = 0; w < W; w++) sum[r][w] += a[r * am + k * ak] * right[w];
  }
  for (int64_t r = 0; r < R; r++)
    for (int64_t w = 0; w < W; w++) *reinterpret_cast<vec*>(out + r * ldo + w * LANE) = sum[r][w];
}

template <int64_t W>
void panel(const float* a, int64_t am, int64_t ak, const float* b, int64_t ldb, float* out, int64_t ldo, int64_t M, int64_t K) {
  int64_t m = 0;
  for (; m + ROWS <= M; m += ROWS) tile<ROWS, W>(a + m * am, am, ak, b, ldb, out + m * ldo, ldo, K);
  for (; m < M; m++) tile<1, W>(a + m * am, am, ak, b, ldb, out + m * ldo, ldo, K);
}

// out[M, N] = a[M, K] b[K, N], b's and out's rows contiguous, N a multiple of LANE
void along(const float* a, int64_t am, int64_t ak, const float* b, int64_t ldb, float* out, int64_t M, int64_t N, int64_t K) {
  int64_t n = 0;
  for (; n + WIDE * LANE <= N; n += WIDE * LANE) panel<WIDE>(a, am, ak, b + n, ldb, out + n, N, M, K);
  for (; n < N; n += LANE) panel<1>(a, am, ak, b + n, ldb, out + n, N, M, K);
}

// out[R, C] = a[R, K] b[C, K]^T: sums of LANE numbers side by side, added up in the order of halves
template <int64_t R, int64_t C>
inline void corner(const float* a, int64_t lda, const float* b, int64_t ldb, float* out, int64_t ldo, int64_t K) {
  vec sum[R][C] = {};
  for (int64_t k = 0; k < K; k += LANE) {
    vec right[C];
    for (int64_t c = 0; c < C; c++) right[c] = load(b + c * ldb + k);
    for (int64_t r = 0; r < R; r++) {
      vec left = load(a + r * lda + k);
      for (int64_t c = 0; c < C; c++) sum[r][c] += left * right[c];
    }
  }
  for (int64_t r = 0; r < R; r++)
    for (int64_t c = 0; c < C; c++) {
      float parts[LANE];
      *reinterpret_cast<vec*>(parts) = sum[r][c];
      for (int64_t half = LANE / 2; half > 0; half /= 2)
        for (int64_t i = 0; i < half; i++) parts[i] += parts[i + half];
      out[r * ldo + c] = parts[0];
    }
}

template <int64_t R>
void stripe(const float* a, int64_t lda, const float* b, int64_t ldb, float* out, int64_t N, int64_t K) {
  int64_t n = 0;
  for (; n + SIDE <= N; n += SIDE) corner<R, SIDE>(a, lda, b + n * ldb, ldb, out + n, N, K);
  for (; n < N; n++) corner<R, 1>(a, lda, b + n * ldb, ldb, out + n, N, K);
}

// out[M, N] = a[M, K] b[N, K]^T, rows contiguous, K a multiple of LANE
void across(const float* a, int64_t lda, const float* b, int64_t ldb, float* out, int64_t M, int64_t N, int64_t K) {
  int64_t m = 0;
  for (; m + SIDE <= M; m += SIDE) stripe<SIDE>(a + m * lda, lda, b, ldb, out + m * N, N, K);
  for (; m < M; m++) stripe<1>(a + m * lda, lda, b, ldb, out + m * N, N, K);
}

at::Tensor product(const at::Tensor& a, const at::Tensor& b) {
  const int64_t F = a.size(0), M = a.size(1), K = a.size(2), N = b.size(2);
  const bool rows = b.stride(2) == 1 && N % LANE == 0;
  const bool columns = b.stride(1) == 1 && a.stride(2) == 1 && K % LANE == 0;
  TORCH_CHECK(b.size(0) == F && b.size(1) == K && (rows || columns), "no product for these shapes and strides");
  at::Tensor out = at::empty({F, M, N}, a.options());
  const float *pa = a.const_data_ptr<float>(), *pb = b.const_data_ptr<float>();
  float* po = out.mutable_data_ptr<float>();
  at::parallel_for(0, F, 1, [&](int64_t first, int64_t last) {
    for (int64_t f = first; f < last; f++) {
      const float *af = pa + f * a.stride(0), *bf = pb + f * b.stride(0);
      float* of = po + f * M * N;
      if (rows)
        along(af, a.stride(1), a.stride(2), bf, b.stride(1), of, M, N, K);
      else
        across(af, a.stride(1), bf, b.stride(2), of, M, N, K);
    }
  });
  return out;
}

}  // namespace

TORCH_LIBRARY(nefstudy, library) { library.def("product(Tensor a, Tensor b) -> Tensor"); }
TORCH_LIBRARY_IMPL(nefstudy, CPU, library) { library.impl("product", &product); }
