"""One experiment: fit (or find) a neural dataset, measure it, train a classifier on its weights.

`experiment.py` is the whole trial as a function of a configuration, without Ray; `distributed.py` runs the
same function through Ray Train, on one device or on a group of workers.
"""
