"""Initializations: where the fits of a neural dataset start.

An init gives every field of a neural dataset its initial parameters: one draw per signal (`random`) or one draw for
all (`shared`). `catalog.py` names them; a study plan may bring its own: `StudyPlan(inits=INITS | {"mine": Mine})`.
"""

from nefstudy.inits.catalog import INITS as INITS
from nefstudy.inits.init import Init as Init
