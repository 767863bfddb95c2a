"""Detection and repair of monkey patches: library functions that a trial replaced in its process."""

import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from operator import itemgetter
from types import BuiltinFunctionType, FunctionType, MethodDescriptorType, ModuleType, WrapperDescriptorType
from typing import Any, Self, final

import numpy as np
import torch

_CODE = (
    FunctionType,
    BuiltinFunctionType,
    MethodDescriptorType,
    WrapperDescriptorType,
    staticmethod,
    classmethod,
    property,
    type,
)


@dataclass(frozen=True)
class _Space:
    """A namespace: a module or class, and the names of its functions and classes."""

    owner: Any
    table: Mapping[str, Any]
    names: tuple[str, ...]
    values: Any  # an itemgetter, which reads 10,000 names in a third of a millisecond


@final
class Code:
    """A snapshot of the functions, methods and classes of torch, NumPy, `random` and nefstudy."""

    def __init__(self, values: Sequence[Any], sizes: Sequence[int]) -> None:
        self._values = values
        self._sizes = sizes

    @classmethod
    def now(cls) -> Self:
        """Take a snapshot of the current code."""
        spaces = _spaces()
        return cls([space.values(space.table) for space in spaces], [len(space.table) for space in spaces])

    def repair(self) -> Iterator[str]:
        """Restore replaced code, remove methods that were added to a class, and yield the names of all changes."""
        for space, before, size in zip(_spaces(), self._values, self._sizes, strict=True):
            try:
                is_changed = space.values(space.table) != before
            except KeyError:
                is_changed = True
            if is_changed:
                yield from _restored(space, before)
            if len(space.table) > size and isinstance(space.owner, type):
                yield from _removed(space)


def _restored(space: _Space, before: Sequence[Any]) -> Iterator[str]:
    for name, value in zip(space.names, before, strict=True):
        now = space.table.get(name)
        if now is not value and not _is_wrapped_by_torch(now, value):
            setattr(space.owner, name, value)
            yield f"{space.owner.__name__}.{name}"


def _is_wrapped_by_torch(now: Any, before: Any) -> bool:
    """Return whether torch itself wrapped the function, which it does on first use to exclude it from compilation."""
    maker = getattr(now, "__globals__", {}).get("__name__", "")
    return str(maker).startswith("torch.") and getattr(now, "__wrapped__", None) is before


def _removed(space: _Space) -> Iterator[str]:
    """Remove methods added to a class, which can hide inherited ones, and yield their names; keep other additions."""
    known = set(space.names)
    for name in [name for name, value in space.table.items() if name not in known and isinstance(value, _CODE)]:
        delattr(space.owner, name)
        yield f"{space.owner.__name__}.{name}"


@cache
def _spaces() -> tuple[_Space, ...]:
    """Return the modules and classes in which a replaced function could change the results of other trials."""
    modules: list[ModuleType] = [torch, torch.nn, torch.nn.functional, torch.nn.init, np, np.random, np.linalg, random]
    modules += [module for name, module in sorted(sys.modules.items()) if name.partition(".")[0] == "nefstudy"]
    classes: dict[type, None] = {torch.Tensor: None, torch.nn.Parameter: None}
    for module in modules:
        if module is torch.nn or module.__name__.startswith("nefstudy"):
            members = [value for value in vars(module).values() if isinstance(value, type)]
            classes |= {value: None for value in members if value.__module__.startswith(("torch.nn.", "nefstudy."))}
    owners = [(owner, _names(owner)) for owner in (*modules, *classes)]
    return tuple(_Space(owner, vars(owner), names, itemgetter(*names)) for owner, names in owners if len(names) > 1)


def _names(owner: Any) -> tuple[str, ...]:
    return tuple(name for name, value in vars(owner).items() if isinstance(value, _CODE))
