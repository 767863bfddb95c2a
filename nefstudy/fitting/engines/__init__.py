"""The engines that compute optimizer steps (eager, compiled, native, fused), and the choice between them."""
