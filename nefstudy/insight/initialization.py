"""The metric of each cell by initialization, as the supplement's Table 4 of Papa et al. 2024 has it."""

from collections.abc import Mapping
from typing import Any

from nefstudy.insight.declared import Declarations, Declared
from nefstudy.insight.published import PaperLine, published
from nefstudy.insight.table import DASH, Cell, Column, Mean, Table, capital, mean_of
from nefstudy.insight.trials import Trials, having

BASE = "random"
COLUMNS = ("phase", "cell", "init", "signals", "field", "parameters")

Settings = dict[tuple[tuple[str, Any], ...], float]
"""The metric by setting: all parameters but the initialization, seeds included."""


def initialization(trials: Trials, declared: Declarations, *, phase: str | None = None) -> Table:
    """Return mean metric by cell and initialization, and each initialization's gain over `random`.

    Mean and deviation run over settings (step counts, hidden dimensions, replicates): the deviation shows how much the
    setting matters, not how sure the mean is. A gain compares only settings that both initializations have.

    Args:
        phase: one phase; by default the last with a result, because a search that hunts for the best setting and a
            grid that covers all of them have means that do not compare.
    """
    chosen = phase if phase is not None else last_phase(trials, declared)
    own = trials.where(lambda index: trials["phase"][index] == chosen)
    by_cell = {cell[0]: _by_init(group, declared.of(chosen, cell[0])) for cell, group in own.groups("cell")}
    by_cell = {cell: found for cell, found in by_cell.items() if found}
    inits = sorted({init for found in by_cell.values() for init in found}, key=init_order)
    order = sorted(by_cell, key=lambda cell: declared.order(chosen, cell))
    papers = {cell: _paper(own, cell) for cell in order}
    metrics = {declared.of(chosen, cell).shown.label: None for cell in order}
    return Table(
        id="initialization",
        title=capital(f"{' or '.join(metrics) or 'results'} by initialization"),
        caption=_words(by_cell, declared, phase=chosen, has_paper=any(papers.values())),
        columns=_columns(inits, has_paper=any(papers.values())),
        rows=tuple(_row(cell, by_cell[cell], declared.of(chosen, cell), inits=inits, papers=papers) for cell in order),
        of=sum(len(values) for found in by_cell.values() for values in found.values()),
    )


def init_order(init: str) -> tuple[int, str]:
    """Return the sorting key of initializations: random, shared, then others by name."""
    return {BASE: 0, "shared": 1}.get(init, 2), init


def last_phase(trials: Trials, declared: Declarations) -> str:
    """Return the last phase, in the order of the plan, with a trial that has its cell's metric."""
    phases = {
        phase for (phase, cell), group in trials.groups("phase", "cell")
        if len(having(group, declared.of(phase, cell).shown.name))
    }  # fmt: skip
    return max(phases, key=lambda phase: declared.order(phase, ""), default="")


def gain(base: Settings, other: Settings, *, sign: int = 1) -> Mean | None:
    """Return by how much the other is better, in % of the base's mean, over the settings that both have."""
    both = [name for name in base if name in other]
    if not both:
        return None
    reference = sum(base[name] for name in both) / len(both)
    if reference == 0:
        return None
    return mean_of([100 * sign * (other[name] - base[name]) / reference for name in both])


def _by_init(trials: Trials, own: Declared) -> dict[str, Settings]:
    shown = having(trials, own.shown.name)
    found: dict[str, Settings] = {}
    values, inits, parameters = shown[own.shown.name], shown["init"], shown["parameters"]
    for value, init, given in zip(values, inits, parameters, strict=True):
        if init is not None:
            left = tuple(sorted((n, v) for n, v in (given or {}).items() if n != "init" and not n.startswith("init.")))
            found.setdefault(str(init), {})[left] = value
    return found


def _paper(trials: Trials, cell: str) -> PaperLine | None:
    rows = zip(trials["cell"], trials["signals"], trials["field"], strict=True)
    places = {(signals, field) for name, signals, field in rows if name == cell}
    return published(*places.pop()) if len(places) == 1 else None


def _columns(inits: list[str], *, has_paper: bool) -> tuple[Column, ...]:
    gains = [init for init in inits if init != BASE] if BASE in inits else []
    name = "gain" if len(gains) == 1 else "gain, {}"
    return (
        Column("cell", "cell"),
        *(Column(init, init, "mean", sure=False) for init in inits),
        *(Column(f"gain.{init}", name.format(init), "difference", "%", digits=1) for init in gains),
        Column("n", "n"),
        *((Column("paper", "paper"),) if has_paper else ()),
        *((Column(f"paper.{init}", f"{init}, paper", "mean", digits=2, sure=False, detail=True)
           for init in (BASE, "shared")) if has_paper else ()),
        *((Column("paper.gain", "gain, paper", "number", "%", digits=2, detail=True),) if has_paper else ()),
    )  # fmt: skip


def _row(
    cell: str, found: Mapping[str, Settings], own: Declared, *, inits: list[str], papers: Mapping[str, PaperLine | None]
) -> tuple[Cell, ...]:
    means = [mean_of(list(found[init].values())) if init in found else None for init in inits]
    base = found.get(BASE, {})
    gains = [gain(base, found.get(i, {}), sign=own.sign) for i in inits if i != BASE] if BASE in inits else []
    star = "" if is_balanced(found) else "*"
    counts = "/".join(str(len(found.get(init, {}))) for init in inits)
    row: list[Cell] = [cell, *means, *gains, f"{counts}{star}"]
    if any(papers.values()):
        paper = papers[cell]
        shown = DASH if paper is None else f"{paper.random.mean:.2f} → {paper.shared.mean:.2f}"
        row += [shown, *((None,) * 3 if paper is None else (paper.random, paper.shared, paper.gain))]
    return tuple(row)


def is_balanced(found: Mapping[str, Settings]) -> bool:
    """Return whether every initialization covers the same settings, so that their means can be compared."""
    return len({frozenset(settings) for settings in found.values()}) <= 1


def _words(
    by_cell: Mapping[str, Mapping[str, Settings]], declared: Declarations, *, phase: str, has_paper: bool
) -> str:
    if not by_cell:
        return "No finished trial yet."
    labels = {declared.of(phase, cell).shown.label: None for cell in by_cell}
    parts = [f"{phase}: {' or '.join(labels)}, mean ± standard deviation over settings; n finished trials of each."]
    if any(BASE in found and len(found) > 1 for found in by_cell.values()):
        parts.append(
            f"Gain in % of {BASE}, over the settings that both have, ± half of its 95 % interval; "
            "settings of one ladder share a neural dataset, so that interval is too narrow for them."
        )
    if not all(is_balanced(found) for found in by_cell.values()):
        parts.append("* The initializations cover different settings so far: compare their gains, not their means.")
    if has_paper:
        parts.append("Paper: random → shared in Papa et al. 2024, supplement, Table 4, on the whole data set.")
    return " ".join(parts)
