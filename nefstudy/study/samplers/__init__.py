"""Samplers: which points of a cell's space become trials, and in which order.

A sampler is a value in the plan (`Grid()`, `Tpe(40)`, `Random(20)`, `Points(...)`, `Winners("phase1", k=3)`); when a
study runs it opens a *stream* (`stream.py`) from the cell and from what the ledger holds, hands out trials one by one
and receives their scores. All resume from the ledger alone. A plan may bring a custom sampler: a class with the
five members of `Sampler`.
"""

from nefstudy.study.samplers.grid import Grid as Grid
from nefstudy.study.samplers.points import Points as Points
from nefstudy.study.samplers.random import Random as Random
from nefstudy.study.samplers.tpe import Tpe as Tpe
from nefstudy.study.samplers.winners import Winners as Winners
