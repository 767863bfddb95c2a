"""How fast: what `nefstudy bench` measures, each measurement one file, on this machine as it is.

Fits and classifiers are measured in processes of their own, one thread unless asked otherwise, so that
memory and caches are theirs alone; `study` and `service` measure all processes that take part.
"""
