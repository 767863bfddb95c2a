"""The report as one self-contained HTML page: no scripts, fonts or network access."""

import base64
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from html import escape

from nefstudy.insight.catalog import TableId
from nefstudy.insight.table import Table, duration
from nefstudy.ledger import TrialState
from nefstudy.report.content import Report, ReportPicture
from nefstudy.report.tables import is_number_column

STYLE = """
:root { color-scheme: light dark; --ink: #22262b; --faint: #5c646d; --line: #d9dde1; --paper: #fff; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8ea; --faint: #a3abb3; --line: #3a4047; --paper: #16191c; } }
* { box-sizing: border-box; }
body { margin: 2rem auto; max-width: 62rem; padding: 0 1rem; color: var(--ink); background: var(--paper);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.7rem; margin-bottom: .2rem; } h2 { font-size: 1.15rem; margin-top: 2.4rem; }
p.note, figcaption { color: var(--faint); font-size: .88rem; margin: .3rem 0; }
.wide { overflow-x: auto; } figure { margin: 1rem 0; } img { max-width: 100%; height: auto; background: #fff; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .92rem; }
th, td { padding: .3rem .8rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th:first-child, td:first-child, .word { text-align: left; } th { color: var(--faint); font-weight: 600; }
.gallery { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(18rem, 100%), 1fr)); gap: 1rem; }
.gallery img { width: 100%; max-width: 32rem; image-rendering: pixelated; }
@media (max-width: 40rem) { figure { overflow-x: auto; } figure > img { max-width: none; width: 44rem; }
  th, td { padding-inline: .45rem; } }
@media print { body { margin: 0; max-width: none; } h2 { break-after: avoid; } figure { break-inside: avoid; } }
"""


def render(report: Report) -> str:
    """Render a report as an HTML page."""
    parts = [
        *_header(report),
        *_initialization(report),
        *_figures(report),
        *_best(report),
        *_tables(report, "replicates", "importance", "classifiers"),
        *_learned(report),
        *_progress(report),
        *_costs(report),
        *_tables(report, "savings"),
        *captioned_table(report.tables["failures"]),
    ]
    return page(f"{report.study.study}: report", parts)


def captioned_table(value: Table) -> list[str]:
    """Return a table with its title above and its caption below, or only title and caption if it has no rows."""
    title, note = f"<h2>{escape(value.title)}</h2>", f'<p class="note">{escape(value.caption)}</p>'
    return [title, html_table(value), note] if value.rows else [title, note]


def html_table(value: Table) -> str:
    """Return a table as HTML, with numbers right-aligned."""
    header, body = value.texts()
    words = {name for name, column in zip(header, value.shown(), strict=True) if not is_number_column(column)}
    return table(header, body, words=words)


def page(title: str, parts: Iterable[str]) -> str:
    """Return an HTML page of `parts` in the report's style."""
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(title)}</title><style>{STYLE}</style></head><body><main>",
            *parts,
            "</main></body></html>\n",
        ]
    )


def table(header: Sequence[str], body: Iterable[Sequence[object]], *, words: Collection[str] = ()) -> str:
    """Return an HTML table of escaped text cells; the columns in `words` are left-aligned."""
    classes = [' class="word"' if name in words else "" for name in header]
    columns = zip(header, classes, strict=True)
    head = "".join(f'<th scope="col"{css}>{escape(name)}</th>' for name, css in columns)
    cells = [[f"<td{css}>{escape(str(cell))}</td>" for cell, css in zip(row, classes, strict=True)] for row in body]
    rows = "".join(f"<tr>{''.join(row)}</tr>" for row in cells)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def embedded_image(png: bytes, *, alt: str) -> str:
    """Return an HTML image with its data embedded."""
    return f'<img alt="{escape(alt)}" src="data:image/png;base64,{base64.b64encode(png).decode()}">'


def _header(report: Report) -> list[str]:
    planned = sum(line.planned for line in report.progress)
    complete = sum(line.states.get(TrialState.COMPLETE, 0) for line in report.progress)
    moment = datetime.fromtimestamp(report.study.updated_at, tz=UTC).strftime("%Y-%m-%d %H:%M UTC")
    return [
        f"<h1>{escape(report.study.study)}</h1>",
        f'<p class="note">{complete} of {planned} trials complete · {escape(report.study.state)} · as of {moment}.</p>',
    ]


def _initialization(report: Report) -> list[str]:
    value = report.tables.get("initialization")
    if not report.phase:
        return ['<p class="note">No finished trials yet.</p>']
    return captioned_table(value) if value is not None else []


def _figures(report: Report) -> list[str]:
    shown = [picture for picture in report.pictures if picture.figure.of]
    return [f"<h2>Figures, {escape(report.phase)}</h2>", *map(_figure, shown)] if shown else []


def _figure(picture: ReportPicture) -> str:
    caption = f"{escape(picture.figure.caption)} Vector graphics: {picture.name}.svg."
    return f"<figure>{embedded_image(picture.png, alt=picture.figure.title)}<figcaption>{caption}</figcaption></figure>"


def _best(report: Report) -> list[str]:
    if not report.tables["best"].rows:
        return []
    shots = [
        f"<figure>{embedded_image(png, alt=f'reconstructions, {cell}')}<figcaption>{escape(cell)}</figcaption></figure>"
        for cell, png in report.reconstructions.items()
    ]
    gallery = [f'<div class="gallery">{"".join(shots)}</div>'] if shots else []
    return [*captioned_table(report.tables["best"]), *gallery]


def _tables(report: Report, *names: TableId) -> list[str]:
    tables = [report.tables[name] for name in names if name in report.tables]
    return [part for table in tables if table.rows for part in captioned_table(table)]


def _learned(report: Report) -> list[str]:
    if report.learned is None:
        return []
    title = "Features learned by the best classifiers"
    caption = (
        "Features of test fields (of validation fields in a search without test signals) before the last layer, laid "
        "out by t-SNE (which keeps neighbors together; distances between clusters mean little) and colored by class. "
        "NMI: agreement of k-means clusters of these features with the classes. Vector graphics: learned_features.svg."
    )
    image = embedded_image(report.learned[0], alt=title)
    return [f"<h2>{title}</h2>", f"<figure>{image}<figcaption>{caption}</figcaption></figure>"]


def _progress(report: Report) -> list[str]:
    states = [state for state in TrialState if any(line.states.get(state) for line in report.progress)]
    body = [
        [line.cell, line.phase, line.planned, *(line.states.get(state, 0) for state in states)]
        for line in report.progress
    ]
    header = ["cell", "phase", "planned", *map(str.lower, states)]
    return ["<h2>Trials by phase and cell</h2>", table(header, body, words=("cell", "phase"))]


def _costs(report: Report) -> list[str]:
    body = [
        ["fitting steps × fields", f"{report.costs.get('field_steps', 0):,.0f}"],
        ["time fitting", duration(report.costs.get("fit_seconds", 0))],
        ["time classifying", duration(report.costs.get("classify_seconds", 0))],
    ]
    return ["<h2>Cost</h2>", table(["resource", "amount"], body, words=("resource",))]
