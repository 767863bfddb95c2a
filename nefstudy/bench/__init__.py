"""Benchmarks for `nefstudy bench`, one module per measurement.

Fits and classifiers are measured in separate processes, on one thread by default, so that they share neither memory
nor caches. `study` and `service` measure all processes that take part.
"""
