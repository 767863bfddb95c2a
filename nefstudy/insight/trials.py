"""Trials as equally long columns, read from a ledger or made from its rows."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

SEED = "seed"


@dataclass(frozen=True)
class Trials:
    """Columns by name: fixed columns, metrics and parameters, None where a trial lacks one.

    Attributes:
        columns: equally long; `parameters`, where it is present, holds each trial's parameters by name.
    """

    columns: Mapping[str, Sequence[Any]]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def __getitem__(self, name: str) -> Sequence[Any]:
        return self.columns[name] if name in self.columns else [None] * len(self)

    def at(self, indices: Iterable[int]) -> "Trials":
        """Return the trials of these indices, in this order."""
        chosen = list(indices)
        return Trials({name: [values[index] for index in chosen] for name, values in self.columns.items()})

    def where(self, keep: Callable[[int], bool]) -> "Trials":
        """Return the trials whose index passes."""
        return self.at(filter(keep, range(len(self))))

    def groups(self, *names: str) -> Iterator[tuple[tuple[Any, ...], "Trials"]]:
        """Yield the trials by their values in these columns, in the order of first appearance."""
        found: dict[tuple[Any, ...], list[int]] = {}
        for index, values in enumerate(zip(*(self[name] for name in names), strict=True)):
            found.setdefault(values, []).append(index)
        for values, indices in found.items():
            yield values, self.at(indices)


def is_number(value: object) -> TypeGuard[int | float]:
    """Return whether a value is a finite number."""
    return isinstance(value, int | float) and math.isfinite(value)


def having(trials: Trials, *names: str) -> Trials:
    """Return the trials that have a finite number in each of these columns."""
    columns = [trials[name] for name in names]
    return trials.where(lambda index: all(is_number(column[index]) for column in columns))


def setting(parameters: Mapping[str, Any], *, without: Iterable[str] = ()) -> tuple[tuple[str, Any], ...]:
    """Return a trial's parameters without its seeds: equal for trials that differ in seeds alone.

    Args:
        without: more to leave out, by name, with everything below it: `classifier` also leaves out
            `classifier.epochs`; a leading `dataset.` is accepted.
    """
    left_out = [name.removeprefix("dataset.") for name in without]

    def is_kept(name: str) -> bool:
        below = any(name == left or name.startswith(f"{left}.") for left in left_out)
        return not below and name.rpartition(".")[2] != SEED

    return tuple(sorted((name, value) for name, value in parameters.items() if is_kept(name)))
