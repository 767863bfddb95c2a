"""The shapes of what figures are drawn from, as pydantic models."""

from pydantic import BaseModel

from nefstudy.service.models import Setback, StoppedCell


class Points(BaseModel):
    """Two values of many trials, column by column, and more by name; `of` counts the trials before thinning."""

    of: int
    x_name: str
    y_name: str
    key: list[str]
    phase: list[str]
    cell: list[str]
    init: list[str]
    steps: list[int]
    hidden: list[int | None]
    dataset: list[str]
    x: list[float]
    y: list[float]
    also: dict[str, list[bool | int | float | str | None]]


class Point(BaseModel):
    """One trial of a Pareto front."""

    key: str
    phase: str
    cell: str
    init: str
    steps: int
    hidden: int | None
    dataset: str
    x: float
    y: float


class Pareto(BaseModel):
    """The trials that no other beats in both values, by rising x."""

    x_name: str
    y_name: str
    front: list[Point]


class Accuracy(BaseModel):
    """Test accuracy over n trials; `sd` is the sample standard deviation, from two trials on."""

    n: int
    mean: float
    sd: float | None


class StartLine(BaseModel):
    """One cell by start; the gain of the shared start is in % of the random one's accuracy."""

    cell: str
    random: Accuracy | None
    shared: Accuracy | None
    gain_percent: float | None


class StartTable(BaseModel):
    """Test accuracy by cell and start, as the supplement's Table 4 has it; `of` is the phase it covers."""

    of: str | None
    trials: int
    rows: list[StartLine]


class Mean(BaseModel):
    """A mean over n seeds of one setting; `low` and `high` bound it by Student's t at the table's confidence."""

    n: int
    mean: float
    low: float | None
    high: float | None


class Replicate(BaseModel):
    """One setting that ran with several seeds; `key` is of the smallest seed, `keys` are of all."""

    phase: str
    cell: str
    init: str
    hidden: int | None
    steps: int
    classifier: str
    key: str
    keys: list[str]
    val_accuracy: Mean
    test_accuracy: Mean
    quality: Mean | None


class Replicates(BaseModel):
    """Settings that ran with several seeds, by phase and cell, best mean validation accuracy first."""

    confidence: float
    rows: list[Replicate]


class FailedTrial(BaseModel):
    """A failed trial and the first line of its error."""

    key: str
    phase: str
    cell: str
    error: str | None


class Failure(BaseModel):
    """How many trials failed of one cause, how many attempts were tried again, and the latest of the failed."""

    cause: str
    count: int
    retried: int
    places: list[Setback]
    latest: FailedTrial | None


class Failures(BaseModel):
    """Failed trials by cause, most frequent first, and the cells that were left alone."""

    failures: list[Failure]
    stopped_cells: list[StoppedCell]


class ParameterImportance(BaseModel):
    """A parameter's share in what tells the best trials from the rest."""

    name: str
    share: float


class Importance(BaseModel):
    """Parameters by importance for a metric, most important first; empty below 20 trials."""

    trials: int
    target: str
    parameters: list[ParameterImportance]


class Savings(BaseModel):
    """What reuse spared: optimizer steps of fields that the complete trials name, and those really done for them."""

    complete: int
    reused: int
    field_steps_asked: float
    field_steps_done: float


class Timeline(BaseModel):
    """Equal spans of the clock from `from_s` (UTC): trials that completed in each, the best accuracy by its end.

    Attributes:
        last_s: when the latest of the trials completed.
        rose_s: when the best rose; `rose_to` says to what.
    """

    from_s: float
    width_s: float
    ended: list[int]
    best: list[float | None]
    last_s: float
    rose_s: list[float]
    rose_to: list[float]
