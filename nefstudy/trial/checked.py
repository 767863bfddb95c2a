"""The check of a trial's result: plain, bounded data that the ledger can hold, or an error that names what is not.

A plan's own task, field or classifier may return anything. The worker checks before it reports, and the driver
checks again what arrives.
"""

import reprlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from numbers import Integral, Real

from nefstudy.errors import TrialFailed
from nefstudy.outside_text import printable
from nefstudy.paths import trial_path
from nefstudy.tasks.result import TrialResult

NAME_LENGTH = 200  # characters of a metric's, curve's or file's name: PostgreSQL indexes 2,704 bytes
TEXT_LENGTH = 1_000  # characters of a fingerprint's value or a file's path
ENTRIES = 1_000  # of metrics, curves, files or marks; MLflow takes as many metrics in one batch
POINTS = 100_000  # of all curves of a trial together
LARGEST = 2**53  # the integers that a float holds exactly


@dataclass(frozen=True)
class Expected:
    """What is known of a result before it is there.

    Attributes:
        key: of the trial.
        objective: metric by which its cell compares trials.
        datasets: digests of the neural datasets that the trial reads.
    """

    key: str
    objective: str
    datasets: tuple[str, ...] = ()


def checked(result: object, *, expected: Expected, whole: bool = True) -> TrialResult:
    """Return a result of plain data, equal to the given one.

    Args:
        whole: require the objective, which a trial has only at its end.

    Raises:
        TrialFailed: a `bug` that names the first entry that cannot be recorded, and its value.
    """
    try:
        return _plain(result, expected=expected, whole=whole)
    except TrialFailed:
        raise
    except Exception as error:  # data with methods that fail: a mapping that does not list its entries
        raise TrialFailed(
            f"the trial's result cannot be read ({type(error).__name__}); return numbers and texts in a TrialResult"
        ) from error


def result_of(outcome: object, *, expected: Expected) -> TrialResult:
    """Return the result in the outcome of a trial, checked again: it comes from a process that ran user code.

    Raises:
        TrialFailed: the outcome is a failure, or is not an outcome.
    """
    entries = outcome if isinstance(outcome, dict) else {}
    text, cause, error = (entries.get(name) for name in ("result", "cause", "error"))
    if isinstance(text, str):
        return read_result(text, expected=expected)
    if isinstance(cause, str) and isinstance(error, str):
        raise TrialFailed(error, cause=cause)
    raise TrialFailed("the trial's process reported what is not an outcome; a trial must not call tune.report itself")


def read_result(text: str, *, expected: Expected, whole: bool = True) -> TrialResult:
    """Return the checked result that a JSON text holds.

    Raises:
        TrialFailed: as for `checked`, and for a text that no result wrote.
    """
    try:
        result = TrialResult.from_json(text)
    except Exception as error:
        raise TrialFailed(f"the trial's process reported what is not a result ({type(error).__name__})") from error
    return checked(result, expected=expected, whole=whole)


def _plain(result: object, *, expected: Expected, whole: bool) -> TrialResult:
    if not isinstance(result, TrialResult):
        raise TrialFailed(f"the trial returned {_shown(result)}; a task must return a TrialResult")
    metrics = {name: _number(value, f"metric {name!r}") for name, value in _entries(result.metrics, "metric")}
    if whole and expected.objective not in metrics:
        raise TrialFailed(
            f"the trial's metrics lack {expected.objective!r}, which its cell compares; return it as a number"
        )
    if result.dataset not in (expected.datasets or (None,)):
        raise TrialFailed(
            f"the result is of the neural dataset {_shown(result.dataset)}; the trial reads "
            f"{', '.join(expected.datasets) or 'none'}"
        )
    return replace(
        result,
        metrics=metrics,
        curves=_curves(result),
        artifacts={name: _path(name, path, expected.key) for name, path in _entries(result.artifacts, "file")},
        fingerprint=_texts(result.fingerprint, "fingerprint"),
        fitted=bool(result.fitted),
        rungs=tuple(_count(steps, "rung") for steps in _sequence(result.rungs, "rungs")),
        dataset_bytes=_count(result.dataset_bytes, "dataset_bytes"),
        confusion=[
            [_count(count, "entry of the confusion matrix") for count in _sequence(row, "confusion matrix")]
            for row in _sequence(result.confusion, "confusion matrix")
        ],
        rung_sha256=_text(result.rung_sha256, "rung_sha256"),
        made_by=_texts(result.made_by, "made_by"),
    )


def _entries(values: object, what: str) -> list[tuple[str, object]]:
    if not isinstance(values, Mapping):
        raise TrialFailed(f"the {what} entries are {_shown(values)}; return a dict by name")
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
    if isinstance(value, Real):  # as NumPy's scalars are
        with suppress(OverflowError):
            return float(value)
    raise TrialFailed(f"{what} is {_shown(value)}; return a number that a float can hold")


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
                f"curve {name!r} is too long: all curves together may have {POINTS:,} points; thin it out"
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


def _texts(values: object, what: str) -> dict[str, str]:
    return {name: _text(value, f"{what} entry {name!r}") for name, value in _entries(values, what)}


def _text(value: object, what: str) -> str:
    if not isinstance(value, str) or len(value) > TEXT_LENGTH or printable(value) != value:
        raise TrialFailed(
            f"{what} is {_shown(value)}; return a text of at most {TEXT_LENGTH:,} printable characters of valid UTF-8"
        )
    return str(value)


def _path(name: str, path: object, key: str) -> str:
    """Return the path of a file in the trial's own directory."""
    folder = f"{trial_path(key)}/"
    found = _text(path, f"the path of file {name!r}")
    inside = found.removeprefix(folder).split("/")
    if "/" in name or not found.isprintable() or not found.startswith(folder) or not {"", ".", ".."}.isdisjoint(inside):
        raise TrialFailed(f"file {name!r} is at {_shown(path)}; a trial's files must be inside its directory {folder}")
    return found


def _shown(value: object) -> str:
    """Return a short text for any value, also for one that cannot describe itself."""
    try:
        return " ".join(printable(reprlib.repr(value)).split())
    except Exception:
        return f"a {type(value).__name__}"
