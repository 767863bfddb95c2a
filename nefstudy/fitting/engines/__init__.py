"""The engines that compute optimizer steps (eager, compiled, fused), and the choice between them."""
