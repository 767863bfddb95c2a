"""A column-oriented table of trials, read from a ledger or converted from its rows."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

SEED = "seed"


@dataclass(frozen=True)
class TrialColumns:
    """Trials as a table of named columns: fixed columns, metrics and parameters, with None for missing values.

    Attributes:
        columns: lists of equal length; `parameters`, if present, contains each trial's parameters by name.
    """

    columns: Mapping[str, Sequence[Any]]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def __getitem__(self, name: str) -> Sequence[Any]:
        return self.columns[name] if name in self.columns else [None] * len(self)

    def at(self, indices: Iterable[int]) -> "TrialColumns":
        """Return the trials at the given indices, in the order of the indices."""
        chosen = list(indices)
        return TrialColumns({name: [values[index] for index in chosen] for name, values in self.columns.items()})

    def where(self, keep: Callable[[int], bool]) -> "TrialColumns":
        """Return the trials whose index satisfies `keep`."""
        return self.at(filter(keep, range(len(self))))

    def groups(self, *names: str) -> Iterator[tuple[tuple[Any, ...], "TrialColumns"]]:
        """Yield the trials grouped by their values in the given columns, in order of first appearance."""
        indices_by_values: dict[tuple[Any, ...], list[int]] = {}
        for index, values in enumerate(zip(*(self[name] for name in names), strict=True)):
            indices_by_values.setdefault(values, []).append(index)
        for values, indices in indices_by_values.items():
            yield values, self.at(indices)


def is_number(value: object) -> TypeGuard[int | float]:
    """Return whether a value is a finite number."""
    return isinstance(value, int | float) and math.isfinite(value)


def having(trials: TrialColumns, *names: str) -> TrialColumns:
    """Return the trials that have a finite number in every given column."""
    columns = [trials[name] for name in names]
    return trials.where(lambda index: all(is_number(column[index]) for column in columns))


def setting(parameters: Mapping[str, Any], *, without: Iterable[str] = ()) -> tuple[tuple[str, Any], ...]:
    """Return a trial's setting: its parameters except seeds, so that all replicates share one setting.

    Args:
        without: further parameters to exclude, with everything below them: `classifier` also excludes
            `classifier.epochs`. A leading `dataset.` is ignored.
    """
    excluded = [name.removeprefix("dataset.") for name in without]

    def is_kept(name: str) -> bool:
        is_excluded = any(name == other or name.startswith(f"{other}.") for other in excluded)
        return not is_excluded and name.rpartition(".")[2] != SEED

    return tuple(sorted((name, value) for name, value in parameters.items() if is_kept(name)))
