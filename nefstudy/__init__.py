"""A distributed study service for neural-field representations.

Data flows one way: signals -> fields -> inits -> fitting -> neural dataset -> evaluation and classifiers ->
tasks -> trial -> study -> ledger -> insight -> status service, MLflow and report.
"""

__version__ = "0.1.0"
