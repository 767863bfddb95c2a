"""The codec for the part of a point that specifies a neural dataset and a rung, shared by several tasks.

Parameters of such a point: `init` (a name of the cell's inits or of the catalog) and `init.PARAM`, `steps`, `views`,
`batch_points`, `stop_psnr`, `optimizer`, `lr`, `weight_decay` (or `optimizer.lr`, ...), and the hyperparameters of the
field.
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
    """A codec for a cell's neural datasets. Points with the same dataset share one configuration object."""

    def __init__(self, setup: CellSetup) -> None:
        self._setup = setup
        self._configs: dict[tuple[object, ...], NeuralDatasetConfig] = {}

    def configure(self, point: Point, *, replicate: int) -> tuple[NeuralDatasetConfig, object]:
        """Return the neural dataset and the step count that a point specifies.

        Raises:
            BadConfig: the field or init has no such parameter, or a value is out of range.
        """
        rest = _short(point, where=self._setup.label)
        missing = [name for name in ("init", "steps") if name not in rest]
        if missing:
            raise BadConfig(f"{self._setup.label}: the point {point} lacks {missing}; add them to `space` or `fixed`")
        steps, seed = rest.pop("steps"), self._setup.seed + replicate
        identity = (seed, *sorted(rest.items()))
        if identity not in self._configs:
            self._configs[identity] = self._recipe(rest, seed)
        return self._configs[identity], steps

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
        name = str(rest.pop("init"))
        params = {key.removeprefix("init."): rest.pop(key) for key in sorted(rest) if key.startswith("init.")}
        base = setup.inits.get(name)
        if base is None and name not in setup.catalogs.inits:
            allowed = ", ".join([*setup.inits, *sorted(setup.catalogs.inits)])
            raise BadConfig(f"{setup.label}: init {name!r} is unknown; allowed: {allowed}; correct the point")
        base = base or InitConfig(name=name)
        config = parse(InitConfig, {"name": base.name, "params": {**base.params, **params}}, where=setup.label)
        return complete_init(config, inits=setup.catalogs.inits)

    def point(self, config: Mapping[str, Any]) -> Point:
        """Return the parameters of a configuration, read from its keys `dataset` and `steps`."""
        dataset = config["dataset"]
        init = dataset["init"]
        values: dict[str, Any] = {
            **dataset["field"]["params"],
            **{short: dataset["optimizer"][name] for short, name in OPTIMIZER.items()},
            **{name: dataset.get(name) for name in RECIPE},
            **{f"init.{name}": value for name, value in init["params"].items()},
            "init": next(self._init_names(init), init["name"]),
            "steps": config["steps"],
        }
        point: Point = {name: value for name, value in values.items() if value is not None}
        return point | {long: point[short] for long, short in LONG.items() if short in point}

    def _init_names(self, init: Mapping[str, Any]) -> Iterator[str]:
        """Yield the cell's names for an init: first the names of equal inits, then all names of the init's kind."""
        candidates = [(name, config) for name, config in self._setup.inits.items() if config.name == init["name"]]
        for name, config in candidates:
            try:
                is_same = complete_init(config, inits=self._setup.catalogs.inits).model_dump(mode="json") == init
            except BadInput:  # an init that is defined in the study script only
                is_same = True
            if is_same:
                yield name
        yield from (name for name, _ in candidates)


def _short(point: Point, *, where: str) -> Point:
    """Return the point with long parameter names replaced by short names.

    Raises:
        BadConfig: the point has a parameter under both of its names.
    """
    short = {LONG.get(name, name): value for name, value in point.items()}
    if len(short) < len(point):
        twice = next(long for long, name in LONG.items() if long in point and name in point)
        raise BadConfig(
            f"{where}: the point has {twice!r} and {LONG[twice]!r}, two names of one parameter; remove one of them"
        )
    return short
