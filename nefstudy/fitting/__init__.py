"""Batched fits of many fields, with snapshots at several step counts and a choice of engines.

`fit.py` fits the fields of given signals in chunks, `ladder.py` fits one chunk with a snapshot at every rung,
`problem.py` defines the problem that a step solves, `optimizer.py` the update, and each engine has one file. A field's
bytes depend on its recipe and its engine only, not on its chunk, lane or neighboring fields.
"""

from nefstudy.fitting.fingerprint import fingerprint as fingerprint
from nefstudy.fitting.fit import Fits as Fits
from nefstudy.fitting.fit import fit_fields as fit_fields
