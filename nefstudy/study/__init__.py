"""Studies: spaces, plans, samplers, estimates, and the driver that runs thousands of trials through Ray Tune.

`space.py` holds Tables 1 to 3 as data. `plan/` turns points into frozen trials and defines the scales, `samplers/`
choose the points, `estimate/` computes time, memory and disk space before a run. `driver/` runs the trials and records
them in the ledger, on a Ray cluster from `cluster/`. `exchange/` exports results. `command.py` is the command line of a
study script, `options.py` its flags and `locations.py` where a study stores its files; `retention.py` and `gc.py`
remove neural datasets that no trial needs.
"""
