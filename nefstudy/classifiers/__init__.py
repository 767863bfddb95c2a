"""Classifiers that predict a signal's class from the parameters of its field.

`networks/graph.py` turns any field's declared symmetry into layers of units and blocks of weights. The networks on this
graph are `sign_gnn` (the default: invariant to permutations, signs and phases) and `gnn`, `transformer` and `dws`
(published architectures, invariant to permutations only). `mlp` is the baseline on flat rows.
`train` fits a classifier of the `catalog` to `WeightData`, selects the epoch by validation accuracy and reads the test
split once, at the end; `scores` evaluates it; `save` writes it to disk.
"""
