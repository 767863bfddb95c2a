"""The metric of each cell by initialization, laid out like Table 4 in the supplement of Papa et al. 2024."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from nefstudy.insight.declared import OVER_ALL, Declarations, Declared, DeclaredMetric
from nefstudy.insight.published import PaperLine, published
from nefstudy.insight.table import DASH, Cell, Column, Mean, Table, capital, counted, mean_of
from nefstudy.insight.trials import TrialColumns, having, is_number

BASE = "random"
COLUMNS = ("phase", "cell", "init", "signals", "field", "classifier", "parameters", "diverged", "constant")

Settings = dict[tuple[tuple[str, Any], ...], float]
"""The metric by setting, which is all parameters except the initialization; seeds are included."""


def initialization(trials: TrialColumns, declared: Declarations, *, phase: str | None = None) -> Table:
    """Return a table of the mean metric by cell and initialization, and the gains over `random`.

    Accuracies are over all fields, and those of the survivors are added where a field diverged.

    Mean and standard deviation are over settings (step counts, hidden dimensions, replicates), so the deviation shows
    the effect of the setting, not the uncertainty of the mean. A gain compares only settings that both have.

    Args:
        phase: one phase, by default the last one with a result. Phases are not pooled, because the means of a search
            for the best setting and of a grid over all settings are not comparable.
    """
    chosen = phase if phase is not None else last_phase(trials, declared)
    in_phase = trials.where(lambda index: trials["phase"][index] == chosen)
    metrics = {cell: declared.of(chosen, cell).compared(group) for (cell,), group in in_phase.groups("cell")}
    lines = [
        _line(cell, classifier, group, declared.of(chosen, cell), metric=metrics[cell])
        for (cell, classifier), group in in_phase.groups("cell", "classifier")
    ]
    lines = sorted((line for line in lines if line.by_init), key=lambda line: declared.order(chosen, line.cell))
    layout = _Layout(
        inits=sorted({init for line in lines for init in line.by_init}, key=init_order),
        has_classifier=len(lines) > len({line.cell for line in lines}),
        has_survivors=any(line.survivors != line.by_init for line in lines),
        has_paper=any(line.paper for line in lines),
    )
    labels = list(dict.fromkeys(line.label for line in lines))
    notes = [*([OVER_ALL] if layout.has_survivors else []), *_lost_fields(in_phase)]
    return Table(
        id="initialization",
        title=capital(f"{' or '.join(labels) or 'results'} by initialization"),
        caption=_caption(lines, labels, notes, phase=chosen, finished=len(trials)),
        columns=layout.columns(),
        rows=tuple(map(layout.row, lines)),
        of=sum(len(values) for line in lines for values in line.by_init.values()),
    )


def init_order(init: str) -> tuple[int, str]:
    """Return the sort key of an initialization: random, shared, then all other names."""
    return {BASE: 0, "shared": 1}.get(init, 2), init


def last_phase(trials: TrialColumns, declared: Declarations) -> str:
    """Return the last phase in which a trial has its cell's metric, or an empty string."""
    phases = {
        phase for (phase, cell), group in trials.groups("phase", "cell")
        if len(having(group, declared.of(phase, cell).shown.name))
    }  # fmt: skip
    return max(phases, key=lambda phase: declared.order(phase, ""), default="")


def gain(base: Settings, other: Settings, *, sign: int = 1) -> Mean | None:
    """Return the mean improvement of `other` over `base` in %, over the settings that both initializations have.

    The rungs of a ladder share a fit, so each ladder counts once, by its mean, and n is the number of ladders.
    """
    by_ladder: dict[tuple[tuple[str, Any], ...], list[tuple[float, float]]] = {}
    for setting in base:
        if setting in other:
            ladder = tuple((name, value) for name, value in setting if name != "steps")
            by_ladder.setdefault(ladder, []).append((base[setting], other[setting]))
    means = [(fmean(own for own, _ in pairs), fmean(theirs for _, theirs in pairs)) for pairs in by_ladder.values()]
    reference = fmean(own for own, _ in means) if means else 0
    if reference == 0:
        return None
    return mean_of([100 * sign * (theirs - own) / abs(reference) for own, theirs in means])


@dataclass(frozen=True)
class _Line:
    """The results of one cell and classifier; `classifier` is None for tasks without one."""

    cell: str
    classifier: str | None
    label: str
    sign: int
    by_init: Mapping[str, Settings]
    survivors: Mapping[str, Settings]
    paper: PaperLine | None


def _line(cell: str, classifier: str | None, trials: TrialColumns, own: Declared, *, metric: DeclaredMetric) -> _Line:
    return _Line(
        cell,
        classifier,
        metric.label,
        own.sign,
        by_init=_by_init(trials, metric),
        survivors=_by_init(trials, own.shown),
        paper=_paper(trials, own),
    )


def _by_init(trials: TrialColumns, metric: DeclaredMetric) -> dict[str, Settings]:
    shown = having(trials, metric.name)
    by_init: dict[str, Settings] = {}
    scores, inits, parameters = shown[metric.name], shown["init"], shown["parameters"]
    for score, init, values in zip(scores, inits, parameters, strict=True):
        if init is not None:
            others = sorted((n, v) for n, v in (values or {}).items() if n != "init" and not n.startswith("init."))
            by_init.setdefault(str(init), {})[tuple(others)] = score
    return by_init


def _paper(trials: TrialColumns, own: Declared) -> PaperLine | None:
    if own.reported is None or own.reported.stem != "accuracy":  # the paper's accuracies are those of test signals
        return None
    pairs = set(zip(trials["signals"], trials["field"], strict=True))
    return published(*pairs.pop()) if len(pairs) == 1 else None


@dataclass(frozen=True)
class _Layout:
    """The columns of the table."""

    inits: list[str]
    has_classifier: bool
    has_survivors: bool
    has_paper: bool

    def columns(self) -> tuple[Column, ...]:
        name = "gain" if len(self._gains) == 1 else "gain, {}"
        return (
            Column("cell", "cell"),
            *((Column("classifier", "classifier"),) if self.has_classifier else ()),
            *(Column(init, init, "mean", sure=False) for init in self.inits),
            *(Column(f"survivors.{init}", f"{init}, survivors", "mean", sure=False)
              for init in self.inits if self.has_survivors),
            *(Column(f"gain.{init}", name.format(init), "difference", "%", digits=1) for init in self._gains),
            Column("n", "n"),
            *((Column("paper", "paper"),) if self.has_paper else ()),
            *((Column(f"paper.{init}", f"{init}, paper", "mean", digits=2, sure=False, detail=True)
               for init in (BASE, "shared")) if self.has_paper else ()),
            *((Column("paper.gain", "gain, paper", "number", "%", digits=2, detail=True),) if self.has_paper else ()),
        )  # fmt: skip

    def row(self, line: _Line) -> tuple[Cell, ...]:
        by_init, paper = line.by_init, line.paper
        both = (by_init, line.survivors) if self.has_survivors else (by_init,)
        means = [mean_of(list(each[init].values())) if init in each else None for each in both for init in self.inits]
        gains = [gain(by_init.get(BASE, {}), by_init.get(init, {}), sign=line.sign) for init in self._gains]
        star = "" if is_balanced(by_init) else "*"
        counts = "/".join(str(len(by_init.get(init, {}))) for init in self.inits)
        classifier = (line.classifier or DASH,) if self.has_classifier else ()
        row: list[Cell] = [line.cell, *classifier, *means, *gains, f"{counts}{star}"]
        if self.has_paper:
            shown = DASH if paper is None else f"{paper.random.mean:.2f} → {paper.shared.mean:.2f}"
            row += [shown, *((None,) * 3 if paper is None else (paper.random, paper.shared, paper.gain))]
        return tuple(row)

    @property
    def _gains(self) -> list[str]:
        return [init for init in self.inits if init != BASE] if BASE in self.inits else []


def _lost_fields(trials: TrialColumns) -> Iterator[str]:
    """Yield a sentence on trials with diverged fields and one on trials with constant fields, if there are any."""
    for name, what in (("diverged", "diverged"), ("constant", "had a constant output")):
        counts = [count for count in trials[name] if is_number(count)]
        if any(counts):
            some = sum(count > 0 for count in counts)
            of_all = f"{some:,} of {counted(len(counts), 'trial')}"
            yield f"Some fields {what} in {of_all} (at most {max(counts):,.0f} per trial)."


def is_balanced(by_init: Mapping[str, Settings]) -> bool:
    """Return whether all initializations cover the same settings, which makes their means comparable."""
    return len({frozenset(settings) for settings in by_init.values()}) <= 1


def _caption(lines: Sequence[_Line], labels: Sequence[str], notes: Sequence[str], *, phase: str, finished: int) -> str:
    if not lines:
        return "No finished trial has an initialization and a result." if finished else "No finished trial yet."
    parts = [f"{phase}: {' or '.join(labels)}, mean ± standard deviation over settings; n finished trials of each."]
    if any(BASE in line.by_init and len(line.by_init) > 1 for line in lines):
        parts.append(
            f"Gain in % of {BASE}, over the settings that both have, ± half the width of its 95 % confidence interval; "
            "the rungs of a ladder share a fit, so each ladder counts once."
        )
    if not all(is_balanced(line.by_init) for line in lines):
        parts.append("* The initializations cover different settings so far: compare their gains, not their means.")
    parts += notes
    if any(line.paper for line in lines):
        parts.append(
            "Paper: random → shared in Papa et al. 2024, supplement, Table 4, on the whole data set, "
            "with a GNN of 1.2M parameters and 30 neural datasets of each."
        )
        others = sorted({line.classifier for line in lines if line.classifier not in (None, "gnn")})
        if others:
            parts.append(f"The conditions differ: {', '.join(others)} is not the paper's classifier.")
    return " ".join(parts)
