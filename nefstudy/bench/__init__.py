"""How fast: what `nefstudy bench` measures, each measurement one file, on this machine as it is.

Every figure is of one thread, in a process of its own, so that memory and caches are the measured thing's alone.
"""
