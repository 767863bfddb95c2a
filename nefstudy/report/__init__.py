"""What a study found, from the ledger alone: tables, figures, and one page that holds both.

    ledger rows -> tables.start_table, tables.best_table -> rich, Markdown, CSV, JSON
                -> figures.FIGURES                        -> PNG, SVG
                -> report.write_report                    -> one self-contained HTML page, CSVs beside it

`tables` loads nothing heavy, so that the status service can use it; `figures` brings in matplotlib.
"""
