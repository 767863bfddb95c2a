"""The report as one HTML page that needs nothing beside it: no script, no font, no network."""

import base64
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from html import escape

from nefstudy.ledger import TrialRow, TrialState
from nefstudy.report.content import Picture, Report
from nefstudy.report.replicates import NOTE, replicate_cells
from nefstudy.report.tables import start_cells, start_notes

WORDS = {"cell", "phase", "init", "cause", "what", "key", "classifier"}  # columns that hold no numbers
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
    """The whole page."""
    parts = [
        *_opening(report),
        *_starts(report),
        *_figures(report),
        *_best(report),
        *_replicates(report),
        *_learned(report),
        *_progress(report),
        *_costs(report),
    ]
    return page(f"{report.study.study}: report", parts)


def page(title: str, parts: Iterable[str]) -> str:
    """An HTML page of these parts in the report's style."""
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


def table(header: Sequence[str], body: Iterable[Sequence[object]]) -> str:
    """An HTML table of text cells, those of words to the left; every cell is escaped."""
    marks = [' class="word"' if name in WORDS else "" for name in header]
    named = zip(header, marks, strict=True)
    head = "".join(f'<th scope="col"{mark}>{escape(name)}</th>' for name, mark in named)
    cells = [[f"<td{mark}>{escape(str(cell))}</td>" for cell, mark in zip(row, marks, strict=True)] for row in body]
    rows = "".join(f"<tr>{''.join(row)}</tr>" for row in cells)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def embedded(png: bytes, *, alt: str) -> str:
    """An image whose bytes are in the page itself."""
    return f'<img alt="{escape(alt)}" src="data:image/png;base64,{base64.b64encode(png).decode()}">'


def _opening(report: Report) -> list[str]:
    planned = sum(line.planned for line in report.progress)
    complete = sum(line.states.get(TrialState.COMPLETE, 0) for line in report.progress)
    moment = datetime.fromtimestamp(report.study.updated_at, tz=UTC).strftime("%Y-%m-%d %H:%M UTC")
    return [
        f"<h1>{escape(report.study.study)}</h1>",
        f'<p class="note">{complete} of {planned} trials complete · {escape(report.study.state)} · as of {moment}. '
        "Each trial fits one neural dataset (a neural field to every signal) and trains one classifier on its weights. "
        "Validation accuracy picks; test accuracy is only reported.</p>",
    ]


def _starts(report: Report) -> list[str]:
    if not report.starts.lines:
        return ["<h2>Test accuracy by start</h2>", '<p class="note">No finished trial yet.</p>']
    notes = [f'<p class="note">{escape(note)}</p>' for note in start_notes(report.starts)]
    return [f"<h2>Test accuracy by start, {escape(report.phase)}</h2>", table(*start_cells(report.starts)), *notes]


def _figures(report: Report) -> list[str]:
    if not report.starts.lines:
        return []
    return ["<h2>Accuracy against quality, structure and smoothness</h2>", *map(_figure, report.pictures)]


def _figure(picture: Picture) -> str:
    caption = f"{escape(picture.drawing.caption)} Vector graphics: {picture.name}.svg."
    return f"<figure>{embedded(picture.png, alt=picture.drawing.title)}<figcaption>{caption}</figcaption></figure>"


def _best(report: Report) -> list[str]:
    if not report.best:
        return []
    header = ["cell", "phase", "val", "test", "quality", "init", "hidden", "steps", "key"]
    shots = [
        f"<figure>{embedded(png, alt=f'reconstructions, {place}')}<figcaption>{escape(place)}</figcaption></figure>"
        for place, png in report.reconstructions.items()
    ]
    gallery = [f'<div class="gallery">{"".join(shots)}</div>'] if shots else []
    return ["<h2>Best trial of each cell</h2>", table(header, map(best_cells, report.best)), *gallery]


def _learned(report: Report) -> list[str]:
    if report.learned is None:
        return []
    title = "What the best classifiers learned"
    caption = (
        "Features of test fields before the last layer, laid out by t-SNE (neighbours stay neighbours; distances "
        "between clusters mean little) and coloured by class. NMI: how far k-means on these features, over the test "
        "split, finds the classes. Vector graphics: learned_features.svg."
    )
    image = embedded(report.learned[0], alt=title)
    return [f"<h2>{title}</h2>", f"<figure>{image}<figcaption>{caption}</figcaption></figure>"]


def _replicates(report: Report) -> list[str]:
    if not report.replicates:
        return []
    shown = table(*replicate_cells(report.replicates))
    return ["<h2>Replicates</h2>", shown, f'<p class="note">{escape(NOTE)}</p>']


def best_cells(row: TrialRow) -> list[str]:
    """One line of the table of best trials."""
    return [
        row.cell, row.phase, number(row.val_accuracy, 3), number(row.test_accuracy, 3), quality(row),
        row.init, number(row.hidden, 0), str(row.steps), row.key,
    ]  # fmt: skip


def quality(row: TrialRow) -> str:
    """A trial's quality with its unit: PSNR in dB for images, IoU for shapes."""
    iou = "all_iou" in row.metrics and "all_psnr" not in row.metrics
    return "–" if row.quality is None else f"{row.quality:.3f} IoU" if iou else f"{row.quality:.2f} dB"


def span(seconds: float) -> str:
    """A duration in the unit that tells it in few digits."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:,.1f} h"


def number(value: float | None, digits: int) -> str:
    """A number to so many digits, a dash for none."""
    return "–" if value is None else f"{value:.{digits}f}"


def _progress(report: Report) -> list[str]:
    states = [state for state in TrialState if any(line.states.get(state) for line in report.progress)]
    body = [
        [line.cell, line.phase, line.planned, *(line.states.get(state, 0) for state in states)]
        for line in report.progress
    ]
    return ["<h2>Trials by phase and cell</h2>", table(["cell", "phase", "planned", *map(str.lower, states)], body)]


def _costs(report: Report) -> list[str]:
    reused = sum(row.reused for row in report.trials)
    body = [
        ["fields × steps fitted", f"{report.costs.get('field_steps', 0):,.0f}"],
        ["fitting", span(report.costs.get("fit_seconds", 0))],
        ["classifying", span(report.costs.get("classify_seconds", 0))],
        ["trials answered from earlier ones", str(reused)],
    ]
    failures = [[cell, phase, cause, count] for (phase, cell, cause), count in sorted(report.causes.items())]
    told = [table(["cell", "phase", "cause", "trials"], failures)] if failures else ['<p class="note">None.</p>']
    return ["<h2>Cost</h2>", table(["what", "amount"], body), "<h2>Failures</h2>", *told]
