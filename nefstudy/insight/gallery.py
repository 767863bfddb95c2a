"""Galleries: pictures that trials stored as artifacts, arranged in rows and columns."""

from collections.abc import Callable
from dataclasses import dataclass

from nefstudy.insight.declared import Declared
from nefstudy.insight.questions.initialization import init_order
from nefstudy.insight.table import TrialRef
from nefstudy.insight.trials import TrialColumns, is_number

RECONSTRUCTION = "reconstruction.png"
MAX_PICTURES = 24
COLUMNS = ("key", "phase", "cell", "init", "steps", "hidden")


@dataclass(frozen=True)
class Picture:
    """One picture artifact of a trial, with its caption."""

    trial: TrialRef
    artifact: str
    row: str
    column: str
    caption: str


@dataclass(frozen=True)
class Gallery:
    """Pictures by row and column, in reading order."""

    id: str
    title: str
    caption: str
    pictures: tuple[Picture, ...]


def reconstructions(trials: TrialColumns, own: Declared, *, has: Callable[[TrialRef], bool]) -> Gallery:
    """Return the reconstructions of one cell by step count and initialization.

    Each is from the trial with the widest field.

    Args:
        has: returns whether the picture of a trial is present.
    """
    widest: dict[tuple[float, str], int] = {}
    for index, (steps, init) in enumerate(zip(trials["steps"], trials["init"], strict=True)):
        key = (steps if is_number(steps) else 0, str(init))
        if key not in widest or _width(trials, index) > _width(trials, widest[key]):
            widest[key] = index
    metric = own.headline(trials)
    pictures = []
    for steps, init in sorted(widest, key=lambda key: (key[0], init_order(key[1])))[:MAX_PICTURES]:
        index = widest[steps, init]
        trial = TrialRef(trials["key"][index], trials["phase"][index])
        value = trials[metric.name][index] if metric else None
        parts = [f"{steps:,} steps, {init}"]
        if trials["hidden"][index] is not None:
            parts.append(f"hidden {trials['hidden'][index]}")
        if metric is not None and is_number(value):
            parts.append(f"{metric.label} {value:.{metric.digits}f} {metric.unit}".rstrip())
        if has(trial):
            pictures.append(Picture(trial, RECONSTRUCTION, f"{steps:,} steps", init, " · ".join(parts)))
    return Gallery(
        id="reconstructions",
        title="Reconstructions",
        caption=f"{own.cell}: originals above, reconstructions below, by steps and initialization."
        if pictures
        else "No trial has stored a picture.",
        pictures=tuple(pictures),
    )


def _width(trials: TrialColumns, index: int) -> float:
    hidden = trials["hidden"][index]
    return hidden if is_number(hidden) else 0
