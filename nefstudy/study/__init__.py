"""Thirty thousand trials: the study's spaces, its plan, and its driver over Ray Tune.

`space.py` holds Tables 1 to 3 as data and `scales.py` how much of them a scale covers; `plan.py` turns
points into frozen trials, `cost.py` prices them; `streams.py` and `run.py` decide what comes next and tell
the ledger what happened; `tune.py` lets Ray Tune do it; `session.py` is a whole run.
"""
