"""The `nefstudy` command.

`main.py` holds plan, status, serve, handover and export; `control.py` the commands that control a running study;
`trials.py` replay, logs and predict; `report.py`, `datasets.py`, `signals.py` and `bench.py` one group each.
`options.py` holds the parts that all of them share.
"""

from nefstudy.cli.main import app as app
