"""`nefstudy ...`: plan a study, watch and steer it, serve it, look into what it made, export and report.

`main.py` holds the commands about studies and results, `control.py` those that steer a running study,
`datasets.py` those about neural datasets; `door.py` is what all of them share.
"""

from nefstudy.cli.main import app as app
