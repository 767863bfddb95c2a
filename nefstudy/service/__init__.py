"""Where are we: the ledger's answers for people, scripts and Prometheus.

`progress.py` turns counts into progress and an estimate of the time left; `app.py` serves that and the trials
over REST, with the study page at `/`. The package knows the ledger and nothing that computes: it starts in a
second and still answers when everything else is down.
"""
