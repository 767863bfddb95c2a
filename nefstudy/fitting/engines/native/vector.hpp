// Vectors of floats by the compiler's vector extensions, with the few instructions that these lack.
//
// Every rounding is written down: a fused multiply-add is a call, and the compiler must not make others
// (-ffp-contract=off). So the bytes of a fit depend on the width of a vector, but not on the compiler.

#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#if defined(NEFSTUDY_LANES)  // any width without instructions of a processor, for tests
#define NEFSTUDY_VECTOR "generic"
#elif defined(__AVX512F__)
#include <immintrin.h>
#define NEFSTUDY_LANES 16
#define NEFSTUDY_AVX512 1
#define NEFSTUDY_VECTOR "avx512"
#elif defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>
#define NEFSTUDY_LANES 8
#define NEFSTUDY_AVX2 1
#define NEFSTUDY_VECTOR "avx2"
#elif defined(__aarch64__)
#include <arm_neon.h>
#define NEFSTUDY_LANES 4
#define NEFSTUDY_NEON 1
#define NEFSTUDY_VECTOR "neon"
#else
#define NEFSTUDY_LANES 4
#define NEFSTUDY_VECTOR "generic"
#endif

#define NEFSTUDY_INLINE inline __attribute__((always_inline))
#define NEFSTUDY_INLINED __attribute__((always_inline))  // of a lambda, after its arguments
#define NEFSTUDY_UNROLLED _Pragma("GCC unroll 16")

namespace nefstudy {

constexpr int LANES = NEFSTUDY_LANES;
#if defined(NEFSTUDY_AVX512) || defined(NEFSTUDY_NEON)
constexpr bool MANY_REGISTERS = true;  // 32 instead of 16
#else
constexpr bool MANY_REGISTERS = false;
#endif

typedef float vec __attribute__((vector_size(LANES * 4), may_alias));
typedef int32_t ivec __attribute__((vector_size(LANES * 4), may_alias));

NEFSTUDY_INLINE vec load(const float* from) { return *reinterpret_cast<const vec*>(from); }
NEFSTUDY_INLINE void store(float* to, vec value) { *reinterpret_cast<vec*>(to) = value; }
NEFSTUDY_INLINE vec splat(float value) { return value - vec{}; }
NEFSTUDY_INLINE ivec bits(vec value) { return reinterpret_cast<ivec>(value); }
NEFSTUDY_INLINE vec from_bits(ivec value) { return reinterpret_cast<vec>(value); }
NEFSTUDY_INLINE vec select(ivec mask, vec one, vec other) {
  return from_bits((mask & bits(one)) | (~mask & bits(other)));
}

// a * b + c, rounded once
NEFSTUDY_INLINE vec fma(vec a, vec b, vec c) {
#if defined(NEFSTUDY_AVX512)
  return vec(_mm512_fmadd_ps(__m512(a), __m512(b), __m512(c)));
#elif defined(NEFSTUDY_AVX2)
  return vec(_mm256_fmadd_ps(__m256(a), __m256(b), __m256(c)));
#elif defined(NEFSTUDY_NEON)
  return vec(vfmaq_f32(float32x4_t(c), float32x4_t(a), float32x4_t(b)));
#else
  vec result;
  for (int i = 0; i < LANES; i++) result[i] = std::fma(a[i], b[i], c[i]);
  return result;
#endif
}

// The nearest integers, ties to even
NEFSTUDY_INLINE vec nearest(vec a) {
#if defined(NEFSTUDY_AVX512)
  return vec(_mm512_roundscale_ps(__m512(a), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
#elif defined(NEFSTUDY_AVX2)
  return vec(_mm256_round_ps(__m256(a), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
#elif defined(NEFSTUDY_NEON)
  return vec(vrndnq_f32(float32x4_t(a)));
#else
  vec result;
  for (int i = 0; i < LANES; i++) result[i] = std::nearbyint(a[i]);
  return result;
#endif
}

NEFSTUDY_INLINE vec root(vec a) {
#if defined(NEFSTUDY_AVX512)
  return vec(_mm512_sqrt_ps(__m512(a)));
#elif defined(NEFSTUDY_AVX2)
  return vec(_mm256_sqrt_ps(__m256(a)));
#elif defined(NEFSTUDY_NEON)
  return vec(vsqrtq_f32(float32x4_t(a)));
#else
  vec result;
  for (int i = 0; i < LANES; i++) result[i] = std::sqrt(a[i]);
  return result;
#endif
}

NEFSTUDY_INLINE vec magnitude(vec a) { return from_bits(bits(a) & 0x7fffffff); }

// All bits set in the first `count` lanes
NEFSTUDY_INLINE ivec first_lanes(int count) {
  ivec index;
  for (int i = 0; i < LANES; i++) index[i] = i;
  return index < count;
}

// Lane i of the result is lane places[i] of a, or of b from LANES on
NEFSTUDY_INLINE vec chosen(vec a, vec b, ivec places) {
#if defined(__clang__)
  vec result;
  for (int i = 0; i < LANES; i++) result[i] = places[i] < LANES ? a[places[i]] : b[places[i] - LANES];
  return result;
#else
  return __builtin_shuffle(a, b, places);
#endif
}

// Turns the rows of a square matrix into its columns, by interleaving its halves until all are apart
NEFSTUDY_INLINE void transpose(vec* rows) {
  constexpr int HALF = LANES / 2;
  ivec low, high;
  for (int i = 0; i < LANES; i++) {
    low[i] = i / 2 + i % 2 * LANES;
    high[i] = low[i] + HALF;
  }
  for (int stage = 1; stage < LANES; stage *= 2) {
    vec mixed[LANES];
    NEFSTUDY_UNROLLED for (int i = 0; i < HALF; i++) {
      mixed[2 * i] = chosen(rows[i], rows[i + HALF], low);
      mixed[2 * i + 1] = chosen(rows[i], rows[i + HALF], high);
    }
    NEFSTUDY_UNROLLED for (int i = 0; i < LANES; i++) rows[i] = mixed[i];
  }
}

// Every SPAN lanes of the result are half sums of a segment of 2 * SPAN lanes: first those of a, then those of b
template <int SPAN>
NEFSTUDY_INLINE vec half_sums(vec a, vec b) {
  ivec low;
  for (int i = 0; i < LANES; i++) low[i] = (i / SPAN) * 2 * SPAN + i % SPAN;
  return chosen(a, b, low) + chosen(a, b, low + SPAN);
}

// Lane i of the result is the sum of all lanes of vectors[i]
template <int COUNT = LANES>
NEFSTUDY_INLINE vec sums(const vec* vectors) {
  if constexpr (COUNT == 1) {
    return vectors[0];
  } else {
    vec halves[COUNT / 2];
    for (int i = 0; i < COUNT / 2; i++) halves[i] = half_sums<COUNT / 2>(vectors[2 * i], vectors[2 * i + 1]);
    return sums<COUNT / 2>(halves);
  }
}

inline double sum(vec value) {
  double total = 0;
  for (int i = 0; i < LANES; i++) total += value[i];
  return total;
}

}  // namespace nefstudy
