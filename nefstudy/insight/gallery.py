"""Pictures that trials left as artifacts, in rows and columns."""

from collections.abc import Callable
from dataclasses import dataclass

from nefstudy.insight.declared import Declared
from nefstudy.insight.initialization import init_order
from nefstudy.insight.table import TrialRef
from nefstudy.insight.trials import Trials, is_number

RECONSTRUCTION = "reconstruction.png"
MOST = 24
COLUMNS = ("key", "phase", "cell", "init", "steps", "hidden")


@dataclass(frozen=True)
class Picture:
    """One artifact of one trial, with what is written below it."""

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


def reconstructions(trials: Trials, own: Declared, *, has: Callable[[TrialRef], bool]) -> Gallery:
    """Return the reconstructions of one cell by step count and initialization, of each the trial of widest fields.

    Args:
        has: whether a trial left the picture.
    """
    widest: dict[tuple[float, str], int] = {}
    for index, (steps, init) in enumerate(zip(trials["steps"], trials["init"], strict=True)):
        place = (steps if is_number(steps) else 0, str(init))
        if place not in widest or _width(trials, index) > _width(trials, widest[place]):
            widest[place] = index
    metric = own.headline(trials)
    pictures = []
    for steps, init in sorted(widest, key=lambda place: (place[0], init_order(place[1])))[:MOST]:
        index = widest[steps, init]
        trial = TrialRef(trials["key"][index], trials["phase"][index])
        value = trials[metric.name][index] if metric else None
        words = [f"{steps:,} steps, {init}"]
        if trials["hidden"][index] is not None:
            words.append(f"hidden {trials['hidden'][index]}")
        if metric is not None and is_number(value):
            words.append(f"{metric.label} {value:.{metric.digits}f} {metric.unit}".rstrip())
        if has(trial):
            pictures.append(Picture(trial, RECONSTRUCTION, f"{steps:,} steps", init, " · ".join(words)))
    return Gallery(
        id="reconstructions",
        title="Reconstructions",
        caption=f"{own.cell}: originals above, reconstructions below, by steps and initialization."
        if pictures
        else "No trial has left a picture.",
        pictures=tuple(pictures),
    )


def _width(trials: Trials, index: int) -> float:
    hidden = trials["hidden"][index]
    return hidden if is_number(hidden) else 0
