"""A study's report: the tables and figures of `insight`, with pictures that trials stored under the root.

    insight.catalog -> tables   -> rich, Markdown, CSV
                    -> figures  -> PNG, SVG
                    -> report.write_report -> one self-contained HTML page, CSV files next to it

Statistics are computed in `insight`, not here. `tables` imports nothing heavy; `figures` imports matplotlib.
"""
