"""What a study found, in rows: accuracy by start (as the supplement's Table 4) and the best of each cell."""

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from nefstudy.ledger.rows import TrialRow, TrialState

FIELD_TITLES = {"siren": "SIREN", "rffnet": "RFFNet", "mfn": "MFN"}
# Which of the paper's data sets a signal source is (a subset of).
PAPER_SIGNALS = {
    "mnist": "MNIST",
    "mnist5k": "MNIST",
    "cifar10": "CIFAR10",
    "microimagenet": "MicroImageNet",
    "shapenet10": "ShapeNet10",
}


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Test accuracy over n trials: its mean and, from two trials on, its sample standard deviation."""

    n: int
    mean: float
    sd: float | None

    def __str__(self) -> str:
        return f"{self.mean:.3f}" if self.sd is None else f"{self.mean:.3f} ± {self.sd:.3f}"


@dataclass(frozen=True, slots=True)
class PaperLine:
    """A published row: accuracy by start over 30 neural datasets each, and the gain as printed."""

    random: Accuracy
    shared: Accuracy
    gain: float


def _paper(random: tuple[float, float], shared: tuple[float, float], gain: float) -> PaperLine:
    return PaperLine(random=Accuracy(30, *random), shared=Accuracy(30, *shared), gain=gain)


# Papa et al. 2024 supplement, Table 4 (random start, shared start, gain in %); it has no SIREN rows.
PAPER_TABLE_4: dict[tuple[str, str], PaperLine] = {
    ("MNIST", "rffnet"): _paper((0.20, 0.09), (0.86, 0.12), 327.10),
    ("CIFAR10", "rffnet"): _paper((0.16, 0.02), (0.31, 0.05), 102.33),
    ("MicroImageNet", "rffnet"): _paper((0.13, 0.02), (0.21, 0.04), 60.65),
    ("ShapeNet10", "rffnet"): _paper((0.23, 0.003), (0.79, 0.06), 239.21),
    ("MNIST", "mfn"): _paper((0.23, 0.08), (0.91, 0.07), 304.58),
    ("CIFAR10", "mfn"): _paper((0.20, 0.03), (0.37, 0.06), 82.87),
    ("MicroImageNet", "mfn"): _paper((0.16, 0.02), (0.23, 0.06), 46.39),
    ("ShapeNet10", "mfn"): _paper((0.42, 0.19), (0.89, 0.03), 109.83),
}


@dataclass(frozen=True, slots=True)
class StartLine:
    """One signals x field: test accuracy from each start, and the paper's row where it has one."""

    signals: str
    field: str
    starts: dict[str, Accuracy]
    matched: int
    paper: PaperLine | None

    @property
    def gain(self) -> float | None:
        """Gain of the shared start over the random one, in % of the latter; None until both exist."""
        random, shared = self.starts.get("random"), self.starts.get("shared")
        return gain_percent(random.mean, shared.mean) if random and shared else None

    @property
    def balanced(self) -> bool:
        """Whether every start covers the same settings, so that their means can be compared."""
        return all(accuracy.n == self.matched for accuracy in self.starts.values())


@dataclass(frozen=True, slots=True)
class StartTable:
    """Test accuracy by start, a line for each signals x field that has a finished trial."""

    lines: tuple[StartLine, ...]

    @property
    def starts(self) -> tuple[str, ...]:
        """The starts that occur: random, shared, then others by name."""
        found = {start for line in self.lines for start in line.starts}
        return tuple(sorted(found, key=start_order))


def start_order(start: str) -> tuple[int, str]:
    """Sorting key of starts: random, shared, then others by name."""
    return {"random": 0, "shared": 1}.get(start, 2), start


def gain_percent(random: float, shared: float) -> float | None:
    """How much better `shared` is than `random`, in % of `random`; None where that is 0."""
    return None if random == 0 else 100 * (shared - random) / random


def summarise(values: Sequence[float]) -> Accuracy:
    """Number, mean and sample standard deviation (n - 1) of at least one value."""
    return Accuracy(
        n=len(values), mean=statistics.fmean(values), sd=statistics.stdev(values) if len(values) > 1 else None
    )


def start_table(rows: Iterable[TrialRow]) -> StartTable:
    """Test accuracy by signals, field and start over the finished trials among `rows`.

    As in Papa et al. 2024 suppl., Table 4, the mean and deviation run over settings (step counts, hidden
    dimensions, replicates): the deviation tells how much the setting matters, not how sure the mean is.
    """
    groups: dict[tuple[str, str], dict[str, list[TrialRow]]] = defaultdict(lambda: defaultdict(list))
    for row in finished(rows):
        groups[row.signals, row.field][row.init].append(row)
    return StartTable(
        lines=tuple(
            StartLine(
                signals=signals,
                field=field,
                starts={
                    start: summarise([_accuracy(row) for row in starts[start]])
                    for start in sorted(starts, key=start_order)
                },
                matched=_matched(starts),
                paper=PAPER_TABLE_4.get((PAPER_SIGNALS.get(signals, ""), field)),
            )
            for (signals, field), starts in sorted(
                groups.items(), key=lambda item: (item[0][0], field_order(item[0][1]))
            )
        )
    )


def finished(rows: Iterable[TrialRow]) -> list[TrialRow]:
    """The complete trials that carry a finite test accuracy."""
    return [
        row
        for row in rows
        if row.state is TrialState.COMPLETE and row.test_accuracy is not None and math.isfinite(row.test_accuracy)
    ]


def field_title(field: str) -> str:
    """A field's name as the literature writes it, or as the catalogue does."""
    return FIELD_TITLES.get(field, field)


def field_order(field: str) -> tuple[int, str]:
    """Sorting key of fields: the study's own in its order, then others by name."""
    known = list(FIELD_TITLES)
    return known.index(field) if field in known else len(known), field


def _accuracy(row: TrialRow) -> float:
    assert row.test_accuracy is not None  # `finished` let it through
    return row.test_accuracy


def _setting(row: TrialRow) -> str:
    """What identifies a trial beside its start."""
    dataset = {name: value for name, value in row.config.get("dataset", {}).items() if name != "init"}
    return repr(sorted((row.config | {"dataset": sorted(dataset.items())}).items()))


def _matched(starts: dict[str, list[TrialRow]]) -> int:
    """Number of settings that every start of a group has finished."""
    settings = [{_setting(row) for row in found} for found in starts.values()]
    return len(set.intersection(*settings))


def best_table(rows: Iterable[TrialRow]) -> tuple[TrialRow, ...]:
    """The finished trial of highest validation accuracy in each (phase, cell); ties go to the smaller key.

    Validation picks; the test accuracy beside it is only reported.
    """
    best: dict[tuple[str, str], TrialRow] = {}
    for row in finished(rows):
        if row.val_accuracy is None:
            continue
        held = best.get((row.phase, row.cell))
        if held is None or (-row.val_accuracy, row.key) < (-(held.val_accuracy or 0.0), held.key):
            best[row.phase, row.cell] = row
    return tuple(best[place] for place in sorted(best))


def start_cells(table: StartTable) -> tuple[list[str], list[list[str]]]:
    """Header and body of the start table as text, narrow enough for a terminal of 80 columns."""
    header = ["cell", *table.starts, "gain %", "n", "paper"]
    return header, [_start_line(line, table.starts) for line in table.lines]


def _start_line(line: StartLine, starts: Sequence[str]) -> list[str]:
    counts = "/".join(str(line.starts[start].n) if start in line.starts else "0" for start in starts)
    paper = line.paper
    return [
        f"{line.signals}/{line.field}",
        *(str(line.starts[start]) if start in line.starts else "–" for start in starts),
        "–" if line.gain is None else f"{line.gain:+.1f}",
        counts if line.balanced else f"{counts}*",
        f"{paper.random.mean:.2f} → {paper.shared.mean:.2f}" if paper else "–",
    ]


def start_notes(table: StartTable) -> list[str]:
    """What a reader of the start table has to know, a sentence each."""
    notes = [
        "Test accuracy, mean ± sd over settings; gain of the shared start in % of random; n finished trials by start.",
    ]
    if any(line.paper for line in table.lines):
        notes.append("Paper: random → shared in Papa et al. 2024, supplement, Table 4, on the whole data set.")
    if not all(line.balanced for line in table.lines):
        notes.append("* The starts cover different settings so far, so their means are not comparable yet.")
    return notes


def start_markdown(table: StartTable) -> str:
    """The start table as a GitHub-flavoured Markdown table, its notes below."""
    header, body = start_cells(table)
    rule = ["---", *("---:" for _ in header[1:])]
    drawn = ["| " + " | ".join(line) + " |" for line in [header, rule, *body]]
    return "\n".join([*drawn, "", *start_notes(table)])


def start_rich(table: StartTable) -> Table:
    """The start table for a terminal."""
    header, body = start_cells(table)
    drawn = Table(
        title="Test accuracy by start",
        caption=" ".join(start_notes(table)),
        box=SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    drawn.caption_justify = "left"
    for index, name in enumerate(header):
        drawn.add_column(name, justify="right" if index else "left", no_wrap=bool(index), overflow="fold")
    for line in body:
        drawn.add_row(*line)
    return drawn


def start_rows(table: StartTable) -> list[list[str | int | float | None]]:
    """The start table as CSV rows, header first: one row for each signals x field x start, full precision."""
    rows: list[list[str | int | float | None]] = [
        ["signals", "field", "init", "n", "mean_test_accuracy", "sd_test_accuracy", "gain_percent", "matched",
         "paper_mean_test_accuracy", "paper_sd_test_accuracy", "paper_gain_percent"]
    ]  # fmt: skip
    for line in table.lines:
        published = {"random": line.paper.random, "shared": line.paper.shared} if line.paper else {}
        for start, accuracy in line.starts.items():
            paper = published.get(start)
            rows.append(
                [line.signals, line.field, start, accuracy.n, accuracy.mean, accuracy.sd, line.gain, line.matched,
                 paper.mean if paper else None, paper.sd if paper else None, line.paper.gain if line.paper else None]
            )  # fmt: skip
    return rows


def start_json(table: StartTable) -> dict[str, Any]:
    """The start table as plain data for JSON."""
    header, *body = start_rows(table)
    return {"rows": [dict(zip(map(str, header), line, strict=True)) for line in body]}
