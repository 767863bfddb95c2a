"""Validation of a trial's result as plain, bounded data that the ledger can store.

User code (a task, field or classifier) may return anything. The worker checks a result before it reports it, and the
driver checks the received result again.
"""

import reprlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from numbers import Integral, Real

from nefstudy.errors import TrialFailed
from nefstudy.outside_text import printable
from nefstudy.paths import trial_path
from nefstudy.tasks.result import TrialResult, UsedDataset

NAME_LENGTH = 200  # characters of a metric's, curve's or file's name: PostgreSQL indexes 2,704 bytes
TEXT_LENGTH = 1_000  # characters of a fingerprint's value or a file's path
ENTRIES = 1_000  # entries of each mapping or list; MLflow accepts 1,000 metrics in one batch
POINTS = 100_000  # of all curves of a trial together
LARGEST = 2**53  # up to which a float represents every integer


@dataclass(frozen=True)
class ExpectedResult:
    """The properties that a trial's result must have.

    Attributes:
        key: key of the trial.
        objective: metric by which its cell compares trials.
        datasets: digests of the neural datasets that the trial reads.
    """

    key: str
    objective: str
    datasets: tuple[str, ...] = ()


def checked(result: object, *, expected: ExpectedResult, whole: bool = True) -> TrialResult:
    """Return an equal copy of a trial's result that consists only of plain data.

    Args:
        whole: whether to require the objective, which a trial has only at its end.

    Raises:
        TrialFailed: an entry cannot be recorded; the error names it and its value, and its cause is `bug`.
    """
    try:
        return _plain(result, expected=expected, whole=whole)
    except TrialFailed:
        raise
    except Exception as error:  # data whose methods raise, such as a mapping that cannot be iterated
        raise TrialFailed(
            f"the trial's result cannot be read ({type(error).__name__}); return numbers and strings in a TrialResult"
        ) from error


def result_of(outcome: object, *, expected: ExpectedResult) -> TrialResult:
    """Return the validated result of a trial's outcome, which comes from a process that ran user code.

    Raises:
        TrialFailed: the outcome is a failure, or is not an outcome.
    """
    entries = outcome if isinstance(outcome, dict) else {}
    text, cause, error = (entries.get(name) for name in ("result", "cause", "error"))
    if isinstance(text, str):
        return read_result(text, expected=expected)
    if isinstance(cause, str) and isinstance(error, str):
        raise TrialFailed(error, cause=cause)
    raise TrialFailed("the trial's process reported an invalid outcome; a trial must not call tune.report itself")


def read_result(text: str, *, expected: ExpectedResult, whole: bool = True) -> TrialResult:
    """Return the validated result from JSON text.

    Raises:
        TrialFailed: the text is not a result, or as for `checked`.
    """
    try:
        result = TrialResult.from_json(text)
    except Exception as error:
        raise TrialFailed(
            f"the trial's process reported an invalid result ({type(error).__name__}); return a TrialResult"
        ) from error
    return checked(result, expected=expected, whole=whole)


def _plain(result: object, *, expected: ExpectedResult, whole: bool) -> TrialResult:
    if not isinstance(result, TrialResult):
        raise TrialFailed(f"the trial returned {_shown(result)}; a task must return a TrialResult")
    metrics = {name: _number(value, f"metric {name!r}") for name, value in _entries(result.metrics, "metric")}
    if whole and expected.objective not in metrics:
        raise TrialFailed(
            f"the trial's metrics lack {expected.objective!r}, the objective of its cell; return it as a number"
        )
    return replace(
        result,
        metrics=metrics,
        curves=_curves(result),
        artifacts={name: _path(name, path, expected.key) for name, path in _entries(result.artifacts, "file")},
        fingerprint=_texts(result.fingerprint, "fingerprint"),
        datasets=_datasets(result, expected.datasets),
        confusion=[
            [_count(count, "entry of the confusion matrix") for count in _sequence(row, "confusion matrix")]
            for row in _sequence(result.confusion, "confusion matrix")
        ],
        made_by=_texts(result.made_by, "made_by"),
    )


def _entries(values: object, what: str) -> list[tuple[str, object]]:
    if not isinstance(values, Mapping):
        raise TrialFailed(f"the {what} entries are {_shown(values)}; return a dict with names as keys")
    if len(values) > ENTRIES:
        raise TrialFailed(f"the trial returned {len(values):,} {what} entries; return at most {ENTRIES:,}")
    return [(_name(name, what), value) for name, value in values.items()]


def _name(name: object, what: str) -> str:
    if not isinstance(name, str) or not name.isprintable() or not 0 < len(name) <= NAME_LENGTH:
        raise TrialFailed(
            f"{what} name {_shown(name)} cannot be recorded; use 1 to {NAME_LENGTH} printable characters of valid UTF-8"
        )
    return str(name)


def _number(value: object, what: str) -> float:
    if isinstance(value, Real):  # NumPy's scalars are
        with suppress(OverflowError):
            return float(value)
    raise TrialFailed(f"{what} is {_shown(value)}; return a number in the range of a float")


def _count(value: object, what: str) -> int:
    if isinstance(value, Integral) and 0 <= int(value) <= LARGEST:
        return int(value)
    raise TrialFailed(f"the {what} is {_shown(value)}; return an integer from 0 to 2**53")


def _sequence(values: object, what: str) -> list[object]:
    if isinstance(values, list | tuple) and len(values) <= ENTRIES:
        return list(values)
    raise TrialFailed(f"the {what} is {_shown(values)}; return a list of at most {ENTRIES:,} entries")


def _curves(result: TrialResult) -> dict[str, list[tuple[int, float]]]:
    curves, left = {}, POINTS
    for name, points in _entries(result.curves, "curve"):
        if not isinstance(points, list | tuple):
            raise TrialFailed(f"curve {name!r} is {_shown(points)}; return a list of (step, value) pairs")
        left -= len(points)
        if left < 0:
            raise TrialFailed(
                f"curve {name!r} is too long: all curves together may have {POINTS:,} points; return fewer points"
            )
        curves[name] = [_point(point, name) for point in points]
    return curves


def _point(point: object, name: str) -> tuple[int, float]:
    if not isinstance(point, list | tuple) or len(point) != 2:
        raise TrialFailed(f"curve {name!r} holds {_shown(point)}; return (step, value) pairs")
    step, value = point
    if not isinstance(step, Integral) or abs(int(step)) > LARGEST:
        raise TrialFailed(f"curve {name!r} has the step {_shown(step)}; return an integer of at most 2**53")
    return int(step), _number(value, f"curve {name!r} at step {int(step)}")


def _datasets(result: TrialResult, expected: tuple[str, ...]) -> tuple[UsedDataset, ...]:
    """Return the neural datasets that a result names, after checking that the trial needs exactly these."""
    datasets = tuple(_dataset(used) for used in _sequence(result.datasets, "datasets"))
    named = [used.digest for used in datasets]
    if set(named) != set(expected):
        raise TrialFailed(
            f"the result names the neural datasets {_shown(named)}; name all that the trial needs, and no other: "
            f"{', '.join(expected) or 'none'}"
        )
    return datasets


def _dataset(used: object) -> UsedDataset:
    if not isinstance(used, UsedDataset):
        raise TrialFailed(f"the datasets hold {_shown(used)}; return a UsedDataset for each need")
    return UsedDataset(
        digest=_text(used.digest, "the digest of a dataset"),
        fitted=bool(used.fitted),
        rungs=tuple(_count(steps, "rung") for steps in _sequence(used.rungs, "rungs")),
        bytes=_count(used.bytes, "size of a dataset"),
        fingerprint=_texts(used.fingerprint, "fingerprint of a dataset"),
        sha256=_text(used.sha256, "the sha256 of a dataset"),
    )


def _texts(values: object, what: str) -> dict[str, str]:
    return {name: _text(value, f"{what} entry {name!r}") for name, value in _entries(values, what)}


def _text(value: object, what: str) -> str:
    if not isinstance(value, str) or len(value) > TEXT_LENGTH or printable(value) != value:
        raise TrialFailed(
            f"{what} is {_shown(value)}; return a string of at most {TEXT_LENGTH:,} printable characters of valid UTF-8"
        )
    return str(value)


def _path(name: str, path: object, key: str) -> str:
    """Return the path of one of a trial's files, after checking that the file is in the trial's directory."""
    folder = f"{trial_path(key)}/"
    text = _text(path, f"the path of file {name!r}")
    inside = text.removeprefix(folder).split("/")
    if "/" in name or not text.isprintable() or not text.startswith(folder) or not {"", ".", ".."}.isdisjoint(inside):
        raise TrialFailed(f"file {name!r} is at {_shown(path)}; write a trial's files to its directory {folder}")
    return text


def _shown(value: object) -> str:
    """Return a short text for any value, even if its `__repr__` raises an error."""
    try:
        return " ".join(printable(reprlib.repr(value)).split())
    except Exception:
        return f"a {type(value).__name__}"
