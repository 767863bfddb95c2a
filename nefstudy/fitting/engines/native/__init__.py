"""A CPU engine in C++ for SIREN, RFFNet and MFN, with sizes that are known only when it runs: no shape is compiled.

`engine.py` is what a fit calls, and `build.py` compiles the library, once per machine. A field is fitted by one thread,
step after step, without the other fields, so its bytes do not depend on chunk, lane, neighboring fields or threads.

The sources. `vector.hpp` has the vector type (AVX-512, AVX2, NEON, or any width in plain C++), `sincos.hpp` the
polynomials, `product.hpp` the matrix product, `network.hpp` the padded parameters and the output layer, `loss.hpp` and
`optimizer.hpp` the rest of a step; `siren.hpp`, `rffnet.hpp` and `mfn.hpp` are the passes over a tile of points, and
`native.cpp` the loop over tiles and steps and the functions that Python calls.

Design. Points are rows and hidden units lie along vectors, padded with zeros. One product serves forward pass, input
gradient and weight gradient with other strides: a block of sums stays in registers, and what follows (sines, masks,
factors) is applied to it there. Tiles of 48 points pass forward and backward before the next, so that activations stay
in the L1 and L2 caches. Biases are a row of their kernel, with an input of one, so weight gradients include theirs.
Omega_0 and pi are factors of a copy of the weights, made once per step: angles are in half turns, and their range
reduction is exact. Fused multiply-adds are explicit, not left to the compiler, so bytes depend on the width of vectors
only, which is part of the fingerprint.
"""
