"""Results of a study as figures, tables and galleries; every number is computed once, here.

    ledger rows + declarations of the plan -> one function per question -> Figure, Table, Gallery
                                                                          -> drawn by page, report, REST, CSV

`catalog` lists them by name and reads their data from a ledger. This package does not depend on any experiment: the
plan declares the label, unit and direction of each metric.
"""
