"""How a signal is represented: small coordinate networks as pure functions of (parameters, points).

`field.py` says what a neural field is; `siren.py`, `rffnet.py` and `mfn.py` are the three of the study, each
with its initial law, its loss-and-gradient written out, and its symmetry; `catalog.py` names them.
"""

from nefstudy.fields.catalog import FIELDS as FIELDS
from nefstudy.fields.catalog import build as build
from nefstudy.fields.catalog import complete as complete
from nefstudy.fields.field import NeuralField as NeuralField
from nefstudy.fields.field import flatten as flatten
from nefstudy.fields.field import parameter_count as parameter_count
from nefstudy.fields.field import unflatten as unflatten
