"""The status service: a study's progress and results for people, scripts and Prometheus.

`app.py` serves the ledger over REST, one module of `routes` per resource, with the study page at `/`;
`status_table.py` prints the same status in a terminal. The package depends only on the ledger, not on
anything that computes: it starts in a second and still responds when everything else is down.
"""
