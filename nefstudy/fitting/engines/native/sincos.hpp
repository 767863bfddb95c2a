// Sines, cosines, exponentials and logarithms by polynomials.

#pragma once

#include "vector.hpp"

namespace nefstudy {

// Minimax fits on [-1/2, 1/2] of sin(pi r) / r and cos(pi r) in r * r; errors 4e-9 and 3e-10 before rounding
constexpr float SINE[] = {3.1415925800e+00f, -5.1677068789e+00f, 2.5500313770e+00f, -5.9804517223e-01f,
                          7.7220125162e-02f};
constexpr float COSINE[] = {1.0f, -4.9348021561e+00f, 4.0587095998e+00f, -1.3352161048e+00f, 2.3495392507e-01f,
                            -2.4420698897e-02f};
constexpr float PARITY = 12582912.0f;  // 1.5 * 2^23: the sum's last bit is the parity of a small integer

// The sine and cosine of an angle in half turns, whose reduction to [-1/2, 1/2] is exact below 2^22. Angles that are
// not finite give NaN. Angles with no fraction of a turn left give any number, mostly a huge one: the field diverges.
NEFSTUDY_INLINE void sincos(vec half_turns, vec& sine, vec& cosine) {
  const vec shifted = half_turns + PARITY;  // rounds to the nearest integer, ties to even
  const vec rest = half_turns - (shifted - PARITY), square = rest * rest;
  const ivec flip = bits(shifted) << 31;
  vec s = splat(SINE[4]), c = splat(COSINE[5]);
  for (int i = 3; i >= 0; i--) s = fma(s, square, splat(SINE[i]));
  for (int i = 4; i >= 0; i--) c = fma(c, square, splat(COSINE[i]));
  sine = from_bits(bits(s * rest) ^ flip);
  cosine = from_bits(bits(c) ^ flip);
}

// exp(x) for x <= 0; 0 below the smallest normal number, NaN for NaN
NEFSTUDY_INLINE vec exp_negative(vec x) {
  const ivec vanishes = x < -87.0f;
  const vec powers = nearest(x * 1.44269504f);
  vec rest = fma(powers, splat(-0.693359375f), x);  // ln 2 in two parts
  rest = fma(powers, splat(2.12194440e-4f), rest);
  vec value = splat(1.0f / 5040);
  constexpr float TERMS[] = {1.0f, 1.0f, 1.0f / 2, 1.0f / 6, 1.0f / 24, 1.0f / 120, 1.0f / 720};
  for (int i = 6; i >= 0; i--) value = fma(value, rest, splat(TERMS[i]));
  const vec shifted = powers + PARITY;  // the sum's last bits are the integer
  const ivec exponent = (bits(shifted) - 0x4b400000) << 23;
  return select(vanishes, vec{}, from_bits(bits(value) + exponent));
}

// log(1 + x) for 0 <= x <= 1, as 2 artanh(x / (2 + x))
NEFSTUDY_INLINE vec log_of_one_plus(vec x) {
  const vec ratio = x / (2.0f + x), square = ratio * ratio;
  constexpr float TERMS[] = {1.0f, 1.0f / 3, 1.0f / 5, 1.0f / 7, 1.0f / 9, 1.0f / 11, 1.0f / 13, 1.0f / 15};
  vec value = splat(TERMS[7]);
  for (int i = 6; i >= 0; i--) value = fma(value, square, splat(TERMS[i]));
  return 2.0f * ratio * value;
}

}  // namespace nefstudy
