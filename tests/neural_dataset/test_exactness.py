"""Tests that a recipe and an engine determine the files, regardless of chunks, ranks and interruptions."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from nefstudy.neural_dataset.read import find_neural_dataset
from nefstudy.neural_dataset.write import write_neural_dataset

NewDesk = Callable[[str], Any]
ENGINES = [
    "eager",
    pytest.param("native", marks=pytest.mark.slow),
    pytest.param("compiled", marks=[pytest.mark.compiled, pytest.mark.slow]),
]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("draw", range(4))
def test_stopped_anywhere_and_resumed_by_anyone(desk, new_desk: NewDesk, draw: int, engine: str) -> None:
    """A fit stopped at any shard and resumed by one or two ranks with another chunk size writes the same files."""
    desk.make(engine=engine)
    rng = np.random.default_rng(draw)
    other = new_desk("other")
    first, second = (int(size) for size in rng.choice([2, 3, 8, 64], size=2, replace=False))
    shard, world = int(rng.integers(0, 10)), int(rng.integers(1, 3))

    def stop(done: int, total: int, _: float) -> None:
        if done > 9 * shard:
            raise KeyboardInterrupt

    config = other.config.model_copy(update={"engine": engine, "chunk": first})
    with pytest.raises(KeyboardInterrupt):
        write_neural_dataset(config, other.signals, str(other.root), field=other.field, on_progress=stop)
    assert find_neural_dataset(str(other.root), other.digest) is None
    config = config.model_copy(update={"chunk": second})
    written = [other.write(config=config, rank=rank, world=world) for rank in range(world)]
    assert sum(one.fitted for one in written) >= 1
    assert not any(one.restarted for one in written)
    other.finish(config=config)
    assert other.files() == desk.files()
