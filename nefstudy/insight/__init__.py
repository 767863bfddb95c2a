"""Every number that is derived from trials, once: figures, tables and galleries as plain values.

    ledger rows + declarations of the plan -> one function for each question -> Figure, Table, Gallery
                                                                               -> page, report, REST, CSV draw them

`catalog` names each of them and reads what it needs from a ledger. Nothing here knows an experiment: what a metric is
called, what it is measured in and which direction is better is declared in the plan.
"""
