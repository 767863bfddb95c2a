from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from nefstudy.config import FieldConfig, FitConfig, NeuralDatasetConfig, SignalsConfig
from nefstudy.fields.catalog import build, complete
from nefstudy.fields.field import NeuralField
from nefstudy.neural_dataset import shards
from nefstudy.neural_dataset.read import NeuralDataset
from nefstudy.neural_dataset.write import Written, finish_neural_dataset, write_neural_dataset
from nefstudy.signals.catalog import load_signals
from nefstudy.signals.signal import Signals

SIGNALS = SignalsConfig(name="digits8", subset=46)
RECIPE = NeuralDatasetConfig(
    signals=SIGNALS, field=complete(FieldConfig(name="siren", params={"hidden": 4})), init="random", views=2
)
CONFIG = FitConfig(dataset=RECIPE, rungs=(0, 3), engine="eager", chunk=8)


@dataclass(frozen=True)
class Desk:
    """A workspace for tests: a recipe, its signals and a root, with methods that write a neural dataset to the root."""

    config: FitConfig
    signals: Signals
    field: NeuralField
    root: Path

    @property
    def digest(self) -> str:
        return self.config.dataset.digest

    @property
    def folder(self) -> Path:
        return self.root / "neural_datasets" / self.digest

    def write(self, *, config: FitConfig | None = None, rank: int = 0, world: int = 1) -> Written:
        fit = config or self.config
        return write_neural_dataset(fit, self.signals, str(self.root), field=self.field, rank=rank, world=world)

    def finish(self, *, config: FitConfig | None = None) -> NeuralDataset:
        return finish_neural_dataset(config or self.config, self.signals, str(self.root), field=self.field)

    def make(self, **changes: object) -> NeuralDataset:
        config = self.config.model_copy(update=changes)
        self.write(config=config)
        return self.finish(config=config)

    def files(self) -> dict[str, bytes]:
        """Return the content of every file under the root, by relative path."""
        paths = (path for path in self.root.rglob("*") if path.is_file())
        return {str(path.relative_to(self.root)): path.read_bytes() for path in paths}


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the shard size to 10 signals, so that 46 signals in 2 views make 10 shards."""
    monkeypatch.setattr(shards, "SHARD_SIGNALS", 10)


@pytest.fixture
def new_desk(tmp_path: Path) -> Callable[[str], Desk]:
    """Return a function that returns a `Desk` whose root is an empty folder of the given name."""
    signals = load_signals(SIGNALS)
    field = build(RECIPE.field, in_dim=2, out_dim=1)
    return lambda name: Desk(CONFIG, signals, field, tmp_path / name)


@pytest.fixture
def desk(new_desk: Callable[[str], Desk]) -> Desk:
    return new_desk("root")
