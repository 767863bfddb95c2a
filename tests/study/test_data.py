"""Laws of `--data`: a path or an option of a source, put into the cells of that name and no other."""

import pytest

from nefstudy.errors import BadConfig, BadSignals
from nefstudy.study.data import data_options
from nefstudy.study.plan import StudyPlan
from nefstudy.study.scales import SCALES, grid_cells, search_cells


def test_paths_and_options_are_gathered_by_name():
    """NAME=PATH is the path; NAME.OPTION=VALUE another option; a path may hold equals signs and dots."""
    found = data_options(["mnist=/data/mnist", "micro=s3://b/x.y=z", "micro.wnids=/list.txt", "micro.per_class=30"])
    assert found == {
        "mnist": {"path": "/data/mnist"},
        "micro": {"path": "s3://b/x.y=z", "wnids": "/list.txt", "per_class": 30},
    }


@pytest.mark.parametrize("text", ["mnist", "=/data", "mnist=", "mnist.=3"])
def test_anything_else_is_refused(text: str):
    """A name or a value that is missing is said with an example."""
    with pytest.raises(BadConfig, match="is not NAME=PATH"):
        data_options([text])


def test_data_reaches_both_phases_of_its_cells_alone():
    """The paper's MNIST gets its path in phase 1 and 2; CIFAR10 stays without."""
    data = data_options(["mnist=/data/mnist"])
    for cell in (*search_cells(SCALES["paper"], data=data), *grid_cells(SCALES["paper"], data=data)):
        assert cell.signals.options == ({"path": "/data/mnist"} if cell.signals.name == "mnist" else {})


def test_data_adds_to_what_the_scale_says():
    """A scale's own options of a source stay unless --data gives the same one."""
    cells = ("shapes10/siren",)
    small = SCALES["smoke"].options["shapes10"]["per_class"]
    assert search_cells(SCALES["smoke"], cells)[0].signals.options == {"per_class": small}
    more = search_cells(SCALES["smoke"], cells, data=data_options(["shapes10.per_class=9"]))
    assert more[0].signals.options == {"per_class": 9}


def test_what_a_data_set_fixes_is_not_searched():
    """At smoke scale shapes compare 512 points a step in both phases; images compare all they have."""
    for make in (search_cells, grid_cells):
        shapes, digits = make(SCALES["smoke"], ("shapes10/siren", "mnist5k/siren"))
        assert shapes.fixed["batch_points"] == 512
        assert "batch_points" not in shapes.space
        assert "batch_points" not in digits.fixed


def test_the_cpu_scale_has_a_stand_in_for_each_of_the_twelve_cells():
    """Four kinds of signals, three fields."""
    from nefstudy.signals.catalog import BUNDLED

    names = {cell.partition("/")[0] for cell in SCALES["cpu"].cells}
    assert len(SCALES["cpu"].cells) == 12
    assert names <= BUNDLED


def test_every_unfit_data_set_is_named_at_once(tmp_path):
    """A plan over data that is missing or broken says so of each set before any trial; sound ones pass."""
    (tmp_path / "cifar").mkdir()
    data = data_options([f"mnist={tmp_path}/nowhere", f"cifar10={tmp_path}/cifar"])
    cells = search_cells(SCALES["paper"], ("mnist/siren", "mnist/mfn", "cifar10/siren"), data=data)
    with pytest.raises(BadSignals, match=r"nowhere does not exist.* \| .*cifar lacks data_batch_1.bin") as refused:
        StudyPlan(study="s", cells=cells).pinned()
    assert str(refused.value).count("nowhere") == 1
    with pytest.raises(BadSignals, match=r"^[^|]*nowhere does not exist[^|]*$"):
        StudyPlan(study="s", cells=cells[:1]).pinned()
