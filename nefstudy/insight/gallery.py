"""Pictures that trials left as artifacts, in rows and columns."""

from dataclasses import dataclass

from nefstudy.insight.table import TrialRef


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
