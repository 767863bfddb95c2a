"""The report as one HTML page that needs no other file: no script, no font, no network."""

import base64
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from html import escape

from nefstudy.insight.catalog import TableId
from nefstudy.insight.table import Table, duration
from nefstudy.ledger import TrialState
from nefstudy.report.content import Picture, Report
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
    """Return the whole page."""
    parts = [
        *_opening(report),
        *_first(report),
        *_figures(report),
        *_best(report),
        *_shown(report, "replicates", "importance", "classifiers"),
        *_learned(report),
        *_progress(report),
        *_costs(report),
        *_shown(report, "savings"),
        *captioned(report.tables["failures"]),
    ]
    return page(f"{report.study.study}: report", parts)


def captioned(found: Table) -> list[str]:
    """Return a table with its title above and its caption below; the caption alone where it has no rows."""
    title, note = f"<h2>{escape(found.title)}</h2>", f'<p class="note">{escape(found.caption)}</p>'
    return [title, drawn_table(found), note] if found.rows else [title, note]


def drawn_table(found: Table) -> str:
    """Return an HTML table, numbers aligned right."""
    header, body = found.texts()
    words = {name for name, column in zip(header, found.shown(), strict=True) if not is_number_column(column)}
    return table(header, body, words=words)


def page(title: str, parts: Iterable[str]) -> str:
    """Return an HTML page of these parts in the report's style."""
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
    """Return an HTML table of text cells, the columns in `words` aligned left; every cell is escaped."""
    marks = [' class="word"' if name in words else "" for name in header]
    named = zip(header, marks, strict=True)
    head = "".join(f'<th scope="col"{mark}>{escape(name)}</th>' for name, mark in named)
    cells = [[f"<td{mark}>{escape(str(cell))}</td>" for cell, mark in zip(row, marks, strict=True)] for row in body]
    rows = "".join(f"<tr>{''.join(row)}</tr>" for row in cells)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def embedded(png: bytes, *, alt: str) -> str:
    """Return an image whose bytes are in the page itself."""
    return f'<img alt="{escape(alt)}" src="data:image/png;base64,{base64.b64encode(png).decode()}">'


def _opening(report: Report) -> list[str]:
    planned = sum(line.planned for line in report.progress)
    complete = sum(line.states.get(TrialState.COMPLETE, 0) for line in report.progress)
    moment = datetime.fromtimestamp(report.study.updated_at, tz=UTC).strftime("%Y-%m-%d %H:%M UTC")
    return [
        f"<h1>{escape(report.study.study)}</h1>",
        f'<p class="note">{complete} of {planned} trials complete · {escape(report.study.state)} · as of {moment}.</p>',
    ]


def _first(report: Report) -> list[str]:
    found = report.tables.get("initialization")
    if not report.phase:
        return ['<p class="note">No finished trial yet.</p>']
    return captioned(found) if found is not None else []


def _figures(report: Report) -> list[str]:
    shown = [picture for picture in report.pictures if picture.figure.of]
    return [f"<h2>Figures, {escape(report.phase)}</h2>", *map(_figure, shown)] if shown else []


def _figure(picture: Picture) -> str:
    caption = f"{escape(picture.figure.caption)} Vector graphics: {picture.name}.svg."
    return f"<figure>{embedded(picture.png, alt=picture.figure.title)}<figcaption>{caption}</figcaption></figure>"


def _best(report: Report) -> list[str]:
    if not report.tables["best"].rows:
        return []
    shots = [
        f"<figure>{embedded(png, alt=f'reconstructions, {place}')}<figcaption>{escape(place)}</figcaption></figure>"
        for place, png in report.reconstructions.items()
    ]
    gallery = [f'<div class="gallery">{"".join(shots)}</div>'] if shots else []
    return [*captioned(report.tables["best"]), *gallery]


def _shown(report: Report, *names: TableId) -> list[str]:
    found = [report.tables[name] for name in names if name in report.tables]
    return [part for table in found if table.rows for part in captioned(table)]


def _learned(report: Report) -> list[str]:
    if report.learned is None:
        return []
    title = "What the best classifiers learned"
    caption = (
        "Features of test fields before the last layer, laid out by t-SNE (neighbors stay neighbors; distances "
        "between clusters mean little) and colored by class. NMI: how far k-means on these features, over the test "
        "split, finds the classes. Vector graphics: learned_features.svg."
    )
    image = embedded(report.learned[0], alt=title)
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
        ["fields × steps fitted", f"{report.costs.get('field_steps', 0):,.0f}"],
        ["fitting", duration(report.costs.get("fit_seconds", 0))],
        ["classifying", duration(report.costs.get("classify_seconds", 0))],
    ]
    return ["<h2>Cost</h2>", table(["what", "amount"], body, words=("what",))]
