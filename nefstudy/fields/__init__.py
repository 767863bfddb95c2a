"""Neural fields: small coordinate networks as pure functions of (parameters, points).

`field.py` defines the interface. `siren.py`, `rffnet.py` and `mfn.py` are the study's three fields, each with its
initial distribution, explicit loss and gradient, and symmetry group. `catalog.py` maps names to fields.
"""

from nefstudy.fields.catalog import FIELDS as FIELDS
from nefstudy.fields.catalog import build as build
from nefstudy.fields.catalog import complete as complete
from nefstudy.fields.field import NeuralField as NeuralField
from nefstudy.fields.field import flatten as flatten
from nefstudy.fields.field import parameter_count as parameter_count
from nefstudy.fields.field import unflatten as unflatten
