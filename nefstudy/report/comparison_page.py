"""The page of a comparison, in the report's style: one file that needs nothing beside it."""

from html import escape
from pathlib import Path

from nefstudy.report.compare import Comparison, cell_cells, difference_cells, draw_pairs, pair_rows
from nefstudy.report.figures import encode
from nefstudy.report.page import embedded, page, table
from nefstudy.report.report import csv_bytes, write_files


def write_comparison(found: Comparison, out: Path) -> Path:
    """Write the comparison's page, figure and pairs into a directory; the path of the page.

    Raises:
        BadRoot: `out` cannot be written.
    """
    figure = draw_pairs(found)
    png, svg = encode(figure, "png"), encode(figure, "svg")
    pictures = {"pairs.csv": csv_bytes(pair_rows(found)), "pairs.png": png, "pairs.svg": svg}
    write_files(pictures | {"comparison.html": render_comparison(found, png=png).encode()}, out)
    return out / "comparison.html"


def render_comparison(found: Comparison, *, png: bytes) -> str:
    """The whole page."""
    left, right = map(escape, found.names)
    how = "the same configuration, by its digest"
    if found.without:
        how = f"the same configuration but for {escape(', '.join(found.without))} and seeds, means where there are more"
    parts = [
        f"<h1>{left} and {right}</h1>",
        f'<p class="note">Pairs of complete trials of {how}: {len(found.pairs)} pairs.</p>',
        f"<h2>Differences, {right} less {left}</h2>",
    ]
    if found.pairs:
        parts += [
            table(*difference_cells(found)),
            '<p class="note">Mean of the paired differences ± half of its 95 % interval (Student\'s t over pairs). '
            "Pairs that share a neural dataset are not independent, so an interval over rungs of one ladder is too "
            "narrow. Quality is PSNR in dB or IoU.</p>",
            f"<figure>{embedded(png, alt='Test accuracy of the same settings in both studies')}<figcaption>"
            f"Each point is one pair; above the diagonal {right} is better. Every pair: pairs.csv."
            "</figcaption></figure>",
        ]
    else:
        parts.append(
            '<p class="note">The studies share no configuration. Leave out what differs by design when pairing: '
            "--without classifier.</p>"
        )
    parts += [
        "<h2>Cells</h2>",
        table(*cell_cells(found)),
        '<p class="note">Validation picks the best trial; its test accuracy is only reported. Mean test accuracy ± '
        "standard deviation over n finished trials, whatever their settings: compare it only where both ran the same."
        "</p>",
    ]
    return page(f"{found.names[0]} and {found.names[1]}: comparison", parts)
