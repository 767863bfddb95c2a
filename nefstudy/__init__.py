"""A distributed study service for neural-field representations.

Data flows one way: signals -> fields -> fitting -> neural dataset -> evaluation and classifiers ->
trial -> study -> ledger -> what people look at (status service, MLflow, report).
"""

__version__ = "0.1.0"
