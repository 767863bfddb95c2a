"""Points and configurations are two forms of one thing."""

from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nefstudy.config import ClassifierConfig, InitConfig, SignalsConfig
from nefstudy.errors import BadConfig
from nefstudy.inits.catalog import INITS
from nefstudy.tasks.catalog import TASKS
from nefstudy.tasks.setting import Catalogs
from nefstudy.tasks.task import CellSetup, Codec, Point


@dataclass(frozen=True)
class Scaled:
    """An init of a script's own."""

    gain: float = 1.0
    shared: ClassVar[bool] = True


WIDE = ClassifierConfig(name="mlp", params={"width": 256})
BASE: Point = {"init": "shared", "steps": 5}


def codec_of(task: str) -> Codec:
    """A cell with words for inits and classifiers."""
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
    """Points of every parameter that a cell knows."""
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
    must = {"init": st.sampled_from(["random", "shared", "strong", "weak"]), "steps": st.integers(0, 100)}
    return st.fixed_dictionaries(must, optional=free)


@pytest.mark.parametrize("task", TASKS)
@given(data=st.data())
def test_a_point_comes_back_from_its_configuration(task: str, data: st.DataObject) -> None:
    """Every parameter given is found again under the same name, and the whole point names the same trial."""
    point, codec = data.draw(points(task)), codec_of(task)
    config = codec.configure(point)
    found = codec.point(config.model_dump(mode="json"))
    assert point.items() <= found.items()
    again = {name: value for name, value in found.items() if "." not in name}
    assert codec.configure(again).key == config.key


@pytest.mark.parametrize("task", TASKS)
def test_long_and_short_names_mean_the_same(task: str) -> None:
    """`optimizer.lr` is `lr`; giving both is refused."""
    codec = codec_of(task)
    short = codec.configure({**BASE, "lr": 0.02, "optimizer": "sgd"})
    assert codec.configure({**BASE, "optimizer.lr": 0.02, "optimizer.name": "sgd"}) == short
    with pytest.raises(BadConfig, match=r"'optimizer.lr' and 'lr', which are one parameter"):
        codec.configure({**BASE, "lr": 0.02, "optimizer.lr": 0.02})


@pytest.mark.parametrize("task", TASKS)
def test_a_point_may_set_a_parameter_of_its_init(task: str) -> None:
    """`init.gain` overrides the word's own value, and is found again."""
    codec = codec_of(task)
    config = codec.configure({**BASE, "init": "strong", "init.gain": 2.5})
    assert config.model_dump()["dataset"]["init"] == {"name": "scaled", "params": {"gain": 2.5}}
    assert codec.point(config.model_dump(mode="json"))["init.gain"] == 2.5


@pytest.mark.parametrize(
    ("point", "named"),
    [
        ({"steps": 5}, r"lacks \['init'\]"),
        ({**BASE, "init": "warm"}, r"init 'warm' is unknown; allowed: strong, weak, random, scaled, shared"),
        ({**BASE, "init.gain": 2.0}, r"init shared: no parameter 'gain'; allowed: none"),
        ({**BASE, "init": "strong", "init.gain": "much"}, r"gain = 'much': must be of type float"),
        ({**BASE, "depth": 3}, r"no hyperparameter 'depth'"),
        ({**BASE, "optimizer": "lion"}, r"'adamw' or 'sgd'"),
        ({**BASE, "stop_psnr": -3.0}, r"stop_psnr"),
        ({**BASE, "steps": 1.5}, r"steps"),
    ],
)
@pytest.mark.parametrize("task", TASKS)
def test_what_a_point_cannot_say_is_refused_in_one_line(task: str, point: Point, named: str) -> None:
    """The error names the value and what is allowed."""
    with pytest.raises(BadConfig, match=named) as refused:
        codec_of(task).configure(point)
    assert "\n" not in str(refused.value)


def test_replicates_differ_in_their_seeds_alone() -> None:
    """And one seed gives one neural dataset to both tasks."""
    first, second = (codec_of("classification").configure(BASE, replicate=n) for n in (0, 1))
    assert first.key != second.key
    fitted = codec_of("fitting").configure(BASE)
    assert fitted.model_dump()["dataset"] == first.model_dump()["dataset"]
    assert second.model_dump()["dataset"]["seed"] == 4
