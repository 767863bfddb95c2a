"""Initializations: the initial parameters of the fields of a neural dataset.

An init draws them per signal (`random`) or once for all signals (`shared`). `catalog.py` maps names to inits; a study
plan may add its own: `StudyPlan(inits=INITS | {"mine": Mine})`.
"""

from nefstudy.inits.catalog import INITS as INITS
from nefstudy.inits.init import Init as Init
