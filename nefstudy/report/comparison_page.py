"""The HTML page that compares two studies: one self-contained file in the report's style."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

from nefstudy.insight.questions import comparison
from nefstudy.insight.questions.comparison import Comparison
from nefstudy.insight.study_data import StudyData
from nefstudy.ledger import Ledger
from nefstudy.report.figures import draw, encode
from nefstudy.report.page import captioned_table, embedded_image, page
from nefstudy.report.report import write_files
from nefstudy.report.tables import csv_bytes


def compare(left: tuple[Ledger, str], right: tuple[Ledger, str], *, without: Sequence[str] = ()) -> Comparison:
    """Compare two studies from the same or from different ledgers.

    Args:
        without: parameters to ignore when pairing, such as `classifier`; if empty, trials are paired by digest.

    Raises:
        BadConfig: a ledger has no study of that name.
    """
    sides = [StudyData(*left), StudyData(*right)]
    names = (*comparison.COLUMNS, *dict.fromkeys(name for side in sides for name in side.metrics()))
    trials = [side.trials(names) for side in sides]
    return comparison.compare((left[1], trials[0]), (right[1], trials[1]), sides[0].declared, without=without)


def write_comparison(result: Comparison, out: Path) -> Path:
    """Write the comparison's page, figure and pairs into a directory, and return the path of the page.

    Raises:
        BadRoot: `out` cannot be written.
    """
    figure = draw(comparison.pair_figure(result))
    png, svg = encode(figure, "png"), encode(figure, "svg")
    pairs = csv_bytes(comparison.pair_table(result).flat())
    pictures = {"pairs.csv": pairs, "pairs.png": png, "pairs.svg": svg}
    write_files(pictures | {"comparison.html": render_comparison(result, png=png).encode()}, out)
    return out / "comparison.html"


def render_comparison(result: Comparison, *, png: bytes) -> str:
    """Render a comparison as an HTML page."""
    left, right = map(escape, result.names)
    parts = [f"<h1>{left} and {right}</h1>"]
    if result.pairs:
        figure = comparison.pair_figure(result)
        parts += [
            *captioned_table(comparison.differences(result)),
            f"<figure>{embedded_image(png, alt=figure.title)}<figcaption>{escape(figure.caption)} All pairs: pairs.csv."
            "</figcaption></figure>",
        ]
    else:
        parts.append(
            '<p class="note">The studies share no configuration. To pair trials that differ by design, ignore the '
            "parameter that differs, such as --without classifier.</p>"
        )
    parts += captioned_table(comparison.cells(result))
    return page(f"{result.names[0]} and {result.names[1]}: comparison", parts)
