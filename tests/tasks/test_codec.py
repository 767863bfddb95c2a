"""Tests of codecs, which convert points into configurations and back."""

from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nefstudy.config import ClassifierConfig, InitConfig, SignalsConfig
from nefstudy.errors import BadConfig
from nefstudy.fields.field import NeuralField
from nefstudy.inits.catalog import INITS
from nefstudy.tasks.catalog import TASKS
from nefstudy.tasks.setting import Catalogs
from nefstudy.tasks.task import CellSetup, Codec, Point


@dataclass(frozen=True)
class Scaled:
    """An init like one defined in a study script; these tests never draw values from it."""

    gain: float = 1.0
    shared: ClassVar[bool] = True

    def rows(self, field: NeuralField, *, seed: int, ids: Any, view: int) -> Any:
        raise NotImplementedError


WIDE = ClassifierConfig(name="mlp", params={"width": 256})
BASE: Point = {"init": "shared", "steps": 5}


def codec_of(task: str) -> Codec:
    """Return the codec of a cell that has named inits and classifiers."""
    setup = CellSetup(
        label="digits",
        signals=SignalsConfig(name="digits8"),
        field="siren",
        classifier=ClassifierConfig(),
        classifiers={"wide": WIDE, "narrow": WIDE.model_copy(update={"params": {"width": 8}})},
        inits={"strong": InitConfig(name="scaled", params={"gain": 3.0}), "weak": InitConfig(name="scaled")},
        catalogs=Catalogs(inits=INITS | {"scaled": Scaled}),
        seed=3,
    )
    return TASKS[task].codec(setup)


def points(task: str) -> st.SearchStrategy[Point]:
    """Return a Hypothesis strategy for points that set `init`, `steps` and any of the other free parameters."""
    free: dict[str, st.SearchStrategy[Any]] = {
        "hidden": st.integers(4, 64),
        "layers": st.integers(3, 5),
        "omega_0": st.floats(1, 100),
        "lr": st.floats(1e-5, 1e-1),
        "weight_decay": st.floats(0, 1e-2),
        "optimizer": st.sampled_from(["adamw", "sgd"]),
        "views": st.integers(1, 5),
        "batch_points": st.integers(1, 64),
        "stop_psnr": st.floats(10, 40),
    }
    if task == "classification":
        free["classifier"] = st.sampled_from(["wide", "narrow"])
    required: dict[str, st.SearchStrategy[Any]] = {
        "init": st.sampled_from(["random", "shared", "strong", "weak"]),
        "steps": st.integers(0, 100),
    }
    return st.fixed_dictionaries(required, optional=free)


@pytest.mark.parametrize("task", TASKS)
@given(data=st.data())
def test_a_point_survives_a_round_trip_through_its_configuration(task: str, data: st.DataObject) -> None:
    """A point that is converted to a configuration and back keeps its parameters and names the same trial."""
    point, codec = data.draw(points(task)), codec_of(task)
    config = codec.configure(point)
    returned = codec.point(config.model_dump(mode="json"))
    assert point.items() <= returned.items()
    short = {name: value for name, value in returned.items() if "." not in name}
    assert codec.configure(short).key == config.key


@pytest.mark.parametrize("task", TASKS)
def test_long_and_short_names_mean_the_same(task: str) -> None:
    """`optimizer.lr` means the same as `lr`; a point with both is rejected."""
    codec = codec_of(task)
    short = codec.configure({**BASE, "lr": 0.02, "optimizer": "sgd"})
    assert codec.configure({**BASE, "optimizer.lr": 0.02, "optimizer.name": "sgd"}) == short
    with pytest.raises(BadConfig, match=r"'optimizer\.lr' and 'lr'"):
        codec.configure({**BASE, "lr": 0.02, "optimizer.lr": 0.02})


@pytest.mark.parametrize("task", TASKS)
def test_a_point_may_set_a_parameter_of_its_init(task: str) -> None:
    """`init.gain` in a point overrides the gain of the named init, and the codec reads the new value back."""
    codec = codec_of(task)
    config = codec.configure({**BASE, "init": "strong", "init.gain": 2.5})
    assert config.model_dump()["dataset"]["init"] == {"name": "scaled", "params": {"gain": 2.5}}
    assert codec.point(config.model_dump(mode="json"))["init.gain"] == 2.5


@pytest.mark.parametrize(
    ("point", "named"),
    [
        ({"steps": 5}, r"\['init'\]"),
        ({**BASE, "init": "warm"}, "'warm' .*: strong, weak, random, scaled, shared"),
        ({**BASE, "init.gain": 2.0}, "init shared: .*'gain'; .*: none"),
        ({**BASE, "init": "strong", "init.gain": "much"}, "gain = 'much': .*float"),
        ({**BASE, "depth": 3}, "'depth'"),
        ({**BASE, "optimizer": "lion"}, r"'adamw' or 'sgd'"),
        ({**BASE, "stop_psnr": -3.0}, r"stop_psnr"),
        ({**BASE, "steps": 1.5}, r"steps"),
    ],
)
@pytest.mark.parametrize("task", TASKS)
def test_an_invalid_point_is_refused_in_one_line(task: str, point: Point, named: str) -> None:
    """The error for an invalid point names the value and what is allowed."""
    with pytest.raises(BadConfig, match=named) as refused:
        codec_of(task).configure(point)
    assert "\n" not in str(refused.value)


def test_replicates_differ_in_their_seeds_alone() -> None:
    """Replicates of a point have different seeds and keys. Both tasks use the same neural dataset for a replicate."""
    first, second = (codec_of("classification").configure(BASE, replicate=n) for n in (0, 1))
    assert first.key != second.key
    fitted = codec_of("fitting").configure(BASE)
    assert fitted.model_dump()["dataset"] == first.model_dump()["dataset"]
    assert second.model_dump()["dataset"]["seed"] == 4
