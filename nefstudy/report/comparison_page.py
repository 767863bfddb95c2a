"""The page of a comparison, in the report's style: one file that needs no other."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

from nefstudy.insight import comparison
from nefstudy.insight.comparison import Comparison
from nefstudy.insight.reading import Source
from nefstudy.ledger import Ledger
from nefstudy.report.figures import draw, encode
from nefstudy.report.page import captioned, embedded, page
from nefstudy.report.report import write_files
from nefstudy.report.tables import csv_bytes


def compare(left: tuple[Ledger, str], right: tuple[Ledger, str], *, without: Sequence[str] = ()) -> Comparison:
    """Compare two studies, of one ledger or of two.

    Args:
        without: parameters to leave out when pairing, as `classifier`; with none, trials are paired by their digest.

    Raises:
        BadConfig: a ledger holds no study of that name.
    """
    sides = [Source(*left), Source(*right)]
    names = (*comparison.COLUMNS, *dict.fromkeys(name for side in sides for name in side.metrics()))
    trials = [side.trials(names) for side in sides]
    return comparison.compare((left[1], trials[0]), (right[1], trials[1]), sides[0].declared, without=without)


def write_comparison(found: Comparison, out: Path) -> Path:
    """Write the comparison's page, figure and pairs into a directory; return the path of the page.

    Raises:
        BadRoot: `out` cannot be written.
    """
    figure = draw(comparison.pair_figure(found))
    png, svg = encode(figure, "png"), encode(figure, "svg")
    pairs = csv_bytes(comparison.pair_table(found).flat())
    pictures = {"pairs.csv": pairs, "pairs.png": png, "pairs.svg": svg}
    write_files(pictures | {"comparison.html": render_comparison(found, png=png).encode()}, out)
    return out / "comparison.html"


def render_comparison(found: Comparison, *, png: bytes) -> str:
    """Return the whole page."""
    left, right = map(escape, found.names)
    parts = [f"<h1>{left} and {right}</h1>"]
    if found.pairs:
        figure = comparison.pair_figure(found)
        parts += [
            *captioned(comparison.differences(found)),
            f"<figure>{embedded(png, alt=figure.title)}<figcaption>{escape(figure.caption)} Every pair: pairs.csv."
            "</figcaption></figure>",
        ]
    else:
        parts.append(
            '<p class="note">The studies share no configuration. Leave out what differs by design when pairing: '
            "--without classifier.</p>"
        )
    parts += captioned(comparison.cells(found))
    return page(f"{found.names[0]} and {found.names[1]}: comparison", parts)
