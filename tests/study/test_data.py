"""Tests of `--data`: a source's path or option applies to the cells of that source and to no others."""

from dataclasses import replace

import pytest

from nefstudy.config import SignalsConfig
from nefstudy.errors import BadConfig, BadSignals
from nefstudy.study.options import data_options
from nefstudy.study.plan.scales import SCALES, grid_cells, search_cells
from nefstudy.study.plan.study_plan import StudyPlan


def test_paths_and_options_are_gathered_by_name():
    """`NAME=PATH` sets the path of a source, and `NAME.OPTION=VALUE` sets another option.

    A path may contain equals signs and dots.
    """
    found = data_options(["mnist=/data/mnist", "micro=s3://b/x.y=z", "micro.wnids=/list.txt", "micro.per_class=30"])
    assert found == {
        "mnist": {"path": "/data/mnist"},
        "micro": {"path": "s3://b/x.y=z", "wnids": "/list.txt", "per_class": 30},
    }


@pytest.mark.parametrize("text", ["mnist", "=/data", "mnist=", "mnist.=3"])
def test_anything_else_is_refused(text: str):
    """The error for a setting without a name or a value shows an example."""
    with pytest.raises(BadConfig, match=rf"--data {text!r} .*NAME=PATH"):
        data_options([text])


def test_data_reaches_both_phases_of_its_cells_alone():
    """A path for MNIST reaches the MNIST cells in both phases and no cells of other sources."""
    data = data_options(["mnist=/data/mnist"])
    for cell in (*search_cells(SCALES["paper"], data=data), *grid_cells(SCALES["paper"], data=data)):
        assert cell.signals.options == ({"path": "/data/mnist"} if cell.signals.name == "mnist" else {})


def test_data_adds_to_what_the_scale_says():
    """The options that a scale sets for a source are kept unless --data overrides them."""
    cells = ("shapes10/siren",)
    small = SCALES["smoke"].options["shapes10"]["per_class"]
    assert search_cells(SCALES["smoke"], cells)[0].signals.options == {"per_class": small}
    more = search_cells(SCALES["smoke"], cells, data=data_options(["shapes10.per_class=9"]))
    assert more[0].signals.options == {"per_class": 9}


def test_what_a_data_set_fixes_is_not_searched():
    """At smoke scale, in both phases, shapes use 512 points per step and images use all of their points."""
    for make in (search_cells, grid_cells):
        shapes, digits = make(SCALES["smoke"], ("shapes10/siren", "mnist5k/siren"))
        assert shapes.fixed["batch_points"] == 512
        assert "batch_points" not in shapes.space
        assert "batch_points" not in digits.fixed


def test_the_cpu_scale_has_a_stand_in_for_each_of_the_twelve_cells():
    """The cpu scale has twelve cells, all of which use bundled signals."""
    from nefstudy.signals.catalog import BUNDLED

    names = {cell.partition("/")[0] for cell in SCALES["cpu"].cells}
    assert len(SCALES["cpu"].cells) == 12
    assert names <= BUNDLED


def test_every_scale_has_a_size_for_fashion_mnist():
    """Fashion-MNIST's cells differ from the digit cells of the same scale only in their signals."""
    for scale, digits in {"smoke": "mnist5k", "cpu": "mnist5k", "paper": "mnist"}.items():
        for make in (search_cells, grid_cells):
            mine, theirs = make(SCALES[scale], ("fashion-mnist/mfn", f"{digits}/mfn"))
            assert replace(mine, signals=theirs.signals) == theirs
            full = 5000 if make is grid_cells and scale == "cpu" else None
            sized = SignalsConfig(name="fashion-mnist", subset=theirs.signals.subset or full)
            assert mine.signals == sized.model_copy(update={"without_test": make is search_cells})


def test_every_unfit_data_set_is_named_at_once(tmp_path):
    """Before any trial runs, one error names every missing or broken data set of the plan."""
    (tmp_path / "cifar").mkdir()
    data = data_options([f"mnist={tmp_path}/nowhere", f"cifar10={tmp_path}/cifar"])
    cells = search_cells(SCALES["paper"], ("mnist/siren", "mnist/mfn", "cifar10/siren"), data=data)
    with pytest.raises(BadSignals, match=r"nowhere .*exist.* \| .*cifar .*data_batch_1.bin") as refused:
        StudyPlan(study="s", cells=cells).pinned()
    assert str(refused.value).count("nowhere") == 1
    with pytest.raises(BadSignals, match=r"^[^|]*nowhere [^|]*exist[^|]*$"):
        StudyPlan(study="s", cells=cells[:1]).pinned()
