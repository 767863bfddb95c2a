"""Tests that invalid input is rejected with a one-line error before anything starts."""

import os
import random
import re
import resource
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from nefstudy.config import FitConfig, NeuralDatasetConfig, SignalsConfig, parse
from nefstudy.errors import BadConfig, BadInput, BadLedger, BadSignals
from nefstudy.ledger import Ledger
from nefstudy.signals.catalog import load_signals
from nefstudy.study.plan.study_plan import CellPlan, StudyPlan, listed_trials
from nefstudy.study.space import GRID_FIXED, INIT, Categorical, Real, Whole
from nefstudy.tasks.classification import ClassificationConfig

from ..present import present

pytestmark = [pytest.mark.fault]

EXAMPLES = int(os.environ.get("NEFSTUDY_EXAMPLES", "200"))
TRIAL = {
    "dataset": {
        "signals": {"name": "digits8", "subset": 60},
        "field": {"name": "siren", "params": {"hidden": 8}},
        "init": "shared",
        "optimizer": {"name": "adamw", "lr": 1e-3},
        "seed": 0,
    },
    "steps": 10,
    "classifier": {"name": "mlp", "epochs": 1},
    "seed": 0,
}

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from([10**30, -1, 0, 1e308, "siren", "../..", "\x00", "1e9"]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=6), inner, max_size=3)),
    max_leaves=6,
)


def paths_of(value, before=()) -> list[tuple]:
    """Return the path of each value in nested plain data."""
    inner = (
        [p for name, item in value.items() for p in paths_of(item, (*before, name))] if isinstance(value, dict) else []
    )
    return [before, *inner]


def changed(value, path, new):
    """Return a copy of plain data in which the value at a path is replaced."""
    return new if not path else {**value, path[0]: changed(value[path[0]], path[1:], new)}


@pytest.mark.slow
@settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(path=st.sampled_from(paths_of(TRIAL)), name=st.one_of(st.none(), st.text(max_size=6)), new=VALUES)
@example(path=("steps",), name=None, new=float("nan"))
def test_no_configuration_ends_in_a_traceback(path, name, new):
    """Parsing arbitrary data returns a configuration or raises a short BadConfig error.

    The data may have unknown keys, wrong types, NaN or huge numbers.
    """
    data = changed(TRIAL, path, new)
    if name is not None and isinstance(data, dict):
        data = {**data, name: new}
    for model in (ClassificationConfig, FitConfig, NeuralDatasetConfig):
        config, message = None, ""
        try:
            config = parse(model, data, where="study")
        except BadConfig as error:
            message = str(error)
        assert config is not None or (message.startswith("study: ") and len(message) < 600)
        assert config is None or parse(model, config.canonical_json(), where="again") == config


POINTS = st.dictionaries(
    st.sampled_from(
        ["init", "steps", "lr", "hidden", "omega_0", "views", "batch_points", "weight_decay", "classifier", "x"]
    ),
    SCALARS,
    max_size=6,
)


@pytest.mark.slow
@settings(max_examples=max(EXAMPLES // 5, 1), deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(fixed=POINTS, field=st.sampled_from(["siren", "mfn", "rffnet", "nerf", ""]), replicates=st.integers(-2, 3))
def test_no_plan_ends_in_a_traceback(fixed, field, replicates):
    """For arbitrary fixed values, a plan lists the planned number of trials or raises a one-line BadInput error."""
    base = {"init": "shared", "steps": 3} | fixed
    trials, planned, message = [], 0, ""
    try:
        space = {name: Categorical((base.pop(name),)) for name in ("init", "steps")}
        cell = CellPlan(
            phase="phase2", signals=SignalsConfig(name="digits8"), field=field, space=space, fixed=base,
            replicates=replicates,
        )  # fmt: skip
        trials = list(present(listed_trials(StudyPlan(study="s", cells=(cell,)), cell)))
        planned = cell.planned
    except BadInput as error:
        message = str(error)
    assert "\n" not in message
    assert message or len(trials) == planned


@pytest.mark.timeout(60)
def test_a_grid_of_a_billion_points_is_refused_at_once():
    """A grid of a billion points is rejected before its points are listed.

    The error names the size of the grid and the limit.
    """
    space = {
        "init": INIT,
        "steps": Categorical(tuple(range(1, 1001))),
        "lr": Categorical(tuple(i / 1e6 for i in range(1, 1001))),
        "hidden": Categorical(tuple(range(1, 501))),
    }
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(BadConfig, match=r"1,000,000,000 trials; .*1,000,000 "):
        CellPlan(phase="phase2", signals=SignalsConfig(name="digits8"), field="siren", space=space)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


@pytest.mark.parametrize(
    ("make", "values"),
    [
        (lambda: Real(2.0, 1.0), "2.0, 1.0"),
        (lambda: Real(0.0, 1.0, log=True), "0.0, 1.0"),
        (lambda: Real(float("nan"), 1.0), "nan, 1.0"),
        (lambda: Whole(5, 4), "5, 4"),
        (lambda: Whole(0, 4), "0, 4"),
        (lambda: Whole(3, 9, multiple=2), "3, 9"),
        (lambda: Categorical(()), "()"),
        (lambda: Categorical((1, 1)), "1, 1"),
    ],
)
def test_an_empty_range_is_refused(make, values):
    """A dimension of a search space is rejected if it is empty or if values cannot be drawn from it."""
    with pytest.raises(BadConfig, match=re.escape(values)):
        make()


@pytest.mark.parametrize("kind", ["missing", "cut", "flipped"])
def test_bad_data_is_refused_before_any_trial_and_named(kind, tmp_path):
    """If a data file is missing, truncated or damaged, pinning a plan raises an error that names the file."""
    folder = tmp_path / "photos"
    folder.mkdir()
    if kind != "missing":
        from PIL import Image

        rng = random.Random(0)
        for label in ("a", "b"):
            (folder / label).mkdir()
            for number in range(12):
                image = Image.frombytes("L", (8, 8), bytes(rng.randrange(256) for _ in range(64)))
                image.save(folder / label / f"{number}.png")
        victim = folder / "a" / "3.png"
        data = bytearray(victim.read_bytes())
        victim.write_bytes(data[:40] if kind == "cut" else data[:20] + bytes(40) + data[60:])
    else:
        shutil.rmtree(folder)
    signals = SignalsConfig(name="folder", options={"path": str(folder), "size": 8})
    cell = CellPlan(
        phase="phase2", signals=signals, field="siren", space={"init": INIT, "steps": Categorical((1,))},
        fixed={**GRID_FIXED["siren"], "hidden": 4},
    )  # fmt: skip
    with pytest.raises(BadSignals) as refused:
        StudyPlan(study="s", cells=(cell,)).pinned()
    assert str(folder) in str(refused.value)
    assert kind == "missing" or "a/3.png" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_data_changed_since_the_plan_was_pinned_is_refused(quick_plan):
    """Signals are not loaded if their content differs from the content pinned in the plan."""
    plan = quick_plan()
    other = replace(plan.cells[0], signals=plan.cells[0].signals.model_copy(update={"content": "0" * 64}))
    with pytest.raises(BadSignals, match=r"digits8.* [0-9a-f]{12}.*restore"):
        load_signals(other.signals)


def test_a_removed_ledger_is_reported_in_one_line(tmp_path):
    """If the root disappears while its ledger is open, the next write fails with a one-line error."""
    root = tmp_path / "root"
    with Ledger.open(f"sqlite:///{root}/ledger.db", timeout_s=1) as ledger:
        ledger.studies.put("quick", {}, cells={})
        shutil.move(root, tmp_path / "elsewhere")
        with pytest.raises(BadLedger, match=f"{root}/ledger.db .*restore") as refused:
            ledger.studies.set_state("quick", "running")
        assert "\n" not in str(refused.value)
        assert not Path(root).exists(), "no new root is created"
        shutil.move(tmp_path / "elsewhere", root)
        ledger.studies.set_state("quick", "running")
