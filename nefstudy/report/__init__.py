"""What a study found: numbers from the ledger alone, pictures of trials from the root while they are there.

    ledger rows -> tables.start_table, tables.best_table -> rich, Markdown, CSV, JSON
                -> figures.FIGURES                        -> PNG, SVG
                -> report.write_report                    -> one self-contained HTML page, CSVs beside it

`tables` loads nothing heavy, so that the status service can use it; `figures` brings in matplotlib.
"""
