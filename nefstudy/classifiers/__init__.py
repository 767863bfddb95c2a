"""What the weights know: classifiers that read a signal's class off the parameters of its field.

`graph` turns any field's declared symmetry into layers of units and blocks of weights. On it stand
`sign_gnn` (the default: exact in permutations, signs and phases), `gnn`, `transformer` and `dws` (published forms,
permutations only) and `mlp` (the baseline, flat).
`train` fits one of the `catalog` on `WeightData`, picks the epoch by validation and reads the test split
once; `scores` says how well; `save` keeps a reader on disk.
"""
