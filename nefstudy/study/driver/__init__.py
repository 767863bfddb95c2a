"""The driver: one process that takes trials from samplers, runs them through Ray Tune and records the results."""
