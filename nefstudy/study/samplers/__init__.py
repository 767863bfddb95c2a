"""Samplers, which choose the points of a cell's space that become trials, and their order.

A sampler is a value in the plan (`Grid()`, `Tpe(40)`, `Random(20)`, `Points(...)`, `Winners("phase1", k=3)`). When a
study runs, it opens a *stream* (`stream.py`) from the cell and its history in the ledger. The stream suggests trials
one by one and receives their scores. Every stream resumes from the ledger alone. A plan may bring a custom sampler:
a class with the members of `Sampler`.
"""

from nefstudy.study.samplers.grid import Grid as Grid
from nefstudy.study.samplers.points import Points as Points
from nefstudy.study.samplers.random import Random as Random
from nefstudy.study.samplers.tpe import Tpe as Tpe
from nefstudy.study.samplers.winners import Winners as Winners
