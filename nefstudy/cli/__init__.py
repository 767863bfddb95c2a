"""`nefstudy ...`: plan a study, watch and steer it, serve it, look into what it made, export and report.

`main.py` holds plan, status, serve, handover and export, `control.py` what steers a running study, `trials.py` replay
and logs; `report.py`, `datasets.py`, `signals.py` and `bench.py` are what they say. `door.py` is what all of them
share.
"""

from nefstudy.cli.main import app as app
