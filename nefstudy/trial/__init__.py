"""One trial on a cluster: the layer between the study's driver and a task. Tasks do not depend on Ray.

`assignment.py` is the message from the driver to a worker. `distributed.py` runs the task through Ray Train, in the
Tune actor or on a group of workers, and reports progress and outcome. `process_state.py` and `patches.py` isolate the
trials that share a process; `result_check.py` checks what user code returns, `causes.py` classifies what it raises.
`log.py` writes the trial's log, `provenance.py` describes code and machine, `pruning.py` ends trials early.
"""
