"""Many fields at once: starts, ladders of step counts, and the engines that take the steps.

`fit.py` fits the fields of given signals in chunks; `ladder.py` takes one chunk up a ladder of step counts;
`problem.py` says what a step minimises and `optimizer.py` how; one file per engine computes steps. A field's
bytes depend on its recipe and its engine only, not on the chunk, lane or neighbours it was fitted with.
"""

from nefstudy.fitting.fingerprint import fingerprint as fingerprint
from nefstudy.fitting.fit import Fits as Fits
from nefstudy.fitting.fit import fit_fields as fit_fields
