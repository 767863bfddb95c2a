"""Sources of signals: readers of published file layouts, and bundled or generated data sets."""
