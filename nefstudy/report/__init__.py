"""A study's report: tables and figures of `insight` drawn for people, with pictures that trials left under the root.

    insight.catalog -> tables   -> rich, Markdown, CSV
                    -> figures  -> PNG, SVG
                    -> report.write_report -> one self-contained HTML page, CSV files next to it

Nothing is computed here. `tables` loads nothing heavy; `figures` brings in matplotlib.
"""
