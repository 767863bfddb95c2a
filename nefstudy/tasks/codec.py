"""The part of a point that names a neural dataset and one of its rungs; tasks share it.

Parameters of such a point: `init` (a word of the cell's inits or a name of the catalog) and `init.PARAM`, `steps`,
`views`, `batch_points`, `stop_psnr`, `optimizer`, `lr`, `weight_decay` (or `optimizer.lr`, ...), and the field's own
hyperparameters.
"""

from collections.abc import Iterator, Mapping
from typing import Any, final

from nefstudy.config import FieldConfig, InitConfig, NeuralDatasetConfig, OptimizerConfig, parse
from nefstudy.errors import BadConfig, BadInput
from nefstudy.fields.catalog import complete as complete_field
from nefstudy.inits.catalog import complete as complete_init
from nefstudy.tasks.task import CellSetup, Point

RECIPE = ("views", "batch_points", "stop_psnr")
OPTIMIZER = {"optimizer": "name", "lr": "lr", "weight_decay": "weight_decay"}
LONG = {f"optimizer.{name}": short for short, name in OPTIMIZER.items()} | {"optimizer.name": "optimizer"}


@final
class DatasetCodec:
    """Makes neural dataset configurations of one cell; points that name the same one share its configuration."""

    def __init__(self, setup: CellSetup) -> None:
        self._setup = setup
        self._made: dict[tuple[object, ...], NeuralDatasetConfig] = {}

    def configure(self, point: Point, *, replicate: int) -> tuple[NeuralDatasetConfig, object]:
        """Return the neural dataset and the step count that a point names.

        Raises:
            BadConfig: a parameter that the field or the init does not know, or a value out of range.
        """
        rest = _short(point, where=self._setup.label)
        missing = [name for name in ("init", "steps") if name not in rest]
        if missing:
            raise BadConfig(f"{self._setup.label}: the point {point} lacks {missing}; put them into `space` or `fixed`")
        steps, seed = rest.pop("steps"), self._setup.seed + replicate
        known = (seed, *sorted(rest.items()))
        if known not in self._made:
            self._made[known] = self._recipe(rest, seed)
        return self._made[known], steps

    def _recipe(self, rest: Point, seed: int) -> NeuralDatasetConfig:
        setup, where = self._setup, self._setup.label
        init = self._init(rest)
        optimizer = {OPTIMIZER[name]: rest.pop(name) for name in OPTIMIZER if name in rest}
        recipe = {name: rest.pop(name) for name in RECIPE if name in rest}
        field = parse(FieldConfig, {"name": setup.field, "params": rest}, where=where)
        data = {
            **recipe,
            "signals": setup.signals,
            "field": complete_field(field, fields=setup.catalogs.fields),
            "init": init,
            "optimizer": parse(OptimizerConfig, optimizer, where=where),
            "seed": seed,
        }
        return parse(NeuralDatasetConfig, data, where=where)

    def _init(self, rest: Point) -> InitConfig:
        setup = self._setup
        word = str(rest.pop("init"))
        params = {name: rest.pop(name) for name in sorted(rest) if name.startswith("init.")}
        known = setup.inits.get(word)
        if known is None and word not in setup.catalogs.inits:
            allowed = ", ".join([*setup.inits, *sorted(setup.catalogs.inits)])
            raise BadConfig(f"{setup.label}: init {word!r} is unknown; allowed: {allowed}; correct the point")
        known = known or InitConfig(name=word)
        own = {name.removeprefix("init."): value for name, value in params.items()}
        config = parse(InitConfig, {"name": known.name, "params": {**known.params, **own}}, where=setup.label)
        return complete_init(config, inits=setup.catalogs.inits)

    def point(self, config: Mapping[str, Any]) -> Point:
        """Return the parameters of a configuration with a `dataset` and `steps`."""
        dataset = config["dataset"]
        init = dataset["init"]
        found: dict[str, Any] = {
            **dataset["field"]["params"],
            **{short: dataset["optimizer"][name] for short, name in OPTIMIZER.items()},
            **{name: dataset.get(name) for name in RECIPE},
            **{f"init.{name}": value for name, value in init["params"].items()},
            "init": next(self._words(init), init["name"]),
            "steps": config["steps"],
        }
        point: Point = {name: value for name, value in found.items() if value is not None}
        return point | {long: point[short] for long, short in LONG.items() if short in point}

    def _words(self, init: Mapping[str, Any]) -> Iterator[str]:
        """Yield the words of the cell that stand for an init, those that name its parameters first."""
        named = [(word, known) for word, known in self._setup.inits.items() if known.name == init["name"]]
        for word, known in named:
            try:
                same = complete_init(known, inits=self._setup.catalogs.inits).model_dump(mode="json") == init
            except BadInput:  # an init that only the script knows
                same = True
            if same:
                yield word
        yield from (word for word, _ in named)


def _short(point: Point, *, where: str) -> Point:
    """Return the point under short names.

    Raises:
        BadConfig: one parameter by both of its names.
    """
    short = {LONG.get(name, name): value for name, value in point.items()}
    if len(short) < len(point):
        twice = next(long for long, name in LONG.items() if long in point and name in point)
        raise BadConfig(f"{where}: the point names {twice!r} and {LONG[twice]!r}, which are one parameter; give one")
    return short
