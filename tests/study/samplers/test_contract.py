"""Tests of the rules that every sampler must follow for planned trials, ladders, restarts and requests."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import pytest

from nefstudy.config import SignalsConfig, TrialConfig
from nefstudy.errors import BadConfig
from nefstudy.ledger import TrialState
from nefstudy.signals.kinds import IMAGE
from nefstudy.study.plan.recorded import described_cell
from nefstudy.study.plan.study_plan import CellPlan, StudyPlan
from nefstudy.study.samplers import Grid, Points, Random, Tpe, Winners
from nefstudy.study.samplers.stream import Cell, Sampler, Stream, Suggestion
from nefstudy.study.space import INIT, Categorical, Real, Space, Whole, grid_size
from nefstudy.tasks.task import Objective, Point, SignalTraits

LISTED: Space = {"init": INIT, "hidden": Categorical((4, 8)), "steps": Categorical((1, 2, 4))}
SEARCHED: Space = {"init": INIT, "hidden": Whole(4, 16, multiple=2), "lr": Real(1e-4, 1e-1, log=True)}
POINTS: list[Point] = [{"init": "shared", "steps": 3}, {"init": "random", "steps": 2}]
SAMPLERS: dict[str, tuple[Sampler, Space]] = {
    "grid": (Grid(), LISTED),
    "points": (Points(POINTS), {}),
    "random": (Random(7), SEARCHED),
    "tpe": (Tpe(7), SEARCHED),
    "winners": (Winners("early", k=2, by=("init",)), SEARCHED),
}


def score_of(config: Mapping[str, Any]) -> float:
    """Return a score that is higher for large learning rates and for shared inits."""
    dataset = config["dataset"]
    return dataset["optimizer"]["lr"] + (dataset["init"]["name"] == "shared")


@dataclass
class Memory:
    """A sampler's history, kept in memory: the rows that a ledger would contain for a cell and for an earlier phase."""

    rows_: dict[str, Any] = field(default_factory=dict)
    early: list[Any] = field(default_factory=list)
    early_complete: bool = True
    sign_of: Any = lambda _phase: 1

    @property
    def excluded_keys(self) -> Collection[str]:
        return {key for key, row in self.rows_.items() if row.state.is_terminal}

    terminal_keys = excluded_keys

    @property
    def unfinished_rows(self) -> Sequence[Any]:
        return [row for row in self.rows_.values() if not row.state.is_terminal]

    def rows(self) -> Sequence[Any]:
        return list(self.rows_.values())

    def curve(self, row: Any) -> Mapping[int, float]:
        return {}

    def is_complete(self, phase: str) -> bool:
        return self.early_complete

    def rows_of(self, phase: str) -> Sequence[Any]:
        return self.early

    def keep(self, trial: TrialConfig, state: TrialState) -> float | None:
        """Record a trial and return its score."""
        score = score_of(trial.model_dump(mode="json")) if state is TrialState.COMPLETE else None
        self.rows_[trial.key] = row_of(trial, state=state, score=score)
        return score


def row_of(trial: TrialConfig, *, state: TrialState = TrialState.COMPLETE, score: float | None = None) -> Any:
    """Return the parts of a ledger row that samplers read."""
    config = trial.model_dump(mode="json")
    return SimpleNamespace(key=trial.key, state=state, config=config, score=score, cause=None)


def plan_of(name: str, *, direction: str = "maximize", replicates: int = 1) -> tuple[StudyPlan, CellPlan]:
    """Return a plan, and its cell that uses the named sampler."""
    sampler, space = SAMPLERS[name]
    cell = CellPlan(
        phase="late",
        signals=SignalsConfig(name="digits8"),
        field="siren",
        space=space,
        fixed={name: value for name, value in {"steps": 2, "omega_0": 9.0}.items() if name not in space},
        sampler=sampler,
        objective=Objective("val_accuracy") if direction == "maximize" else Objective("val_loss", "minimize"),
        replicates=replicates,
        traits=SignalTraits(IMAGE, count=1797, classes=10),
    )
    early = replace(
        cell, phase="early", sampler=Random(10), space=SEARCHED, fixed={"steps": 2, "omega_0": 9.0}, replicates=1
    )
    return StudyPlan(study="s", cells=(early, cell)), cell


def cell_of(name: str, **changes: Any) -> Cell:
    """Return the cell that uses the named sampler, in the form in which the sampler receives it."""
    plan, cell = plan_of(name, **changes)
    return plan.sampled(cell)


def memory_of(name: str) -> Memory:
    """Return an empty memory or, for the sampler `winners`, a memory with ten trials of the earlier phase."""
    if name != "winners":
        return Memory()
    trials = list(Random(10).listed(cell_of("random")))
    return Memory(early=[row_of(t, score=score_of(t.model_dump(mode="json"))) for t in trials])


def opened(cell: Cell, name: str, memory: Memory) -> Stream:
    return SAMPLERS[name][0].open(cell, memory)


def run(stream: Stream, memory: Memory, *, most: int = 1000) -> list[Suggestion]:
    """Return the stream's suggestions, completing each trial before requesting the next."""
    suggestions: list[Suggestion] = []
    while len(suggestions) < most and (suggestion := stream.next(())) is not None:
        suggestions.append(suggestion)
        stream.tell(suggestion.trial, memory.keep(suggestion.trial, TrialState.COMPLETE))
    return suggestions


@pytest.fixture(params=SAMPLERS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_it_suggests_the_planned_number_of_distinct_trials(name: str) -> None:
    """A sampler suggests exactly as many distinct trials as are planned."""
    cell, memory = cell_of(name), memory_of(name)
    stream = opened(cell, name, memory)
    found = run(stream, memory)
    keys = {suggestion.trial.key for suggestion in found}
    assert len(keys) == len(found) == stream.planned == cell_planned(name)
    assert stream.exhausted
    assert set(stream.keys) == keys
    assert {(s.phase, s.cell) for s in found} == {("late", "digits8/siren")}


def cell_planned(name: str) -> int:
    return plan_of(name)[1].planned


@pytest.mark.parametrize("cut", [1, 3])
def test_after_a_restart_only_interrupted_trials_are_repeated(name: str, cut: int) -> None:
    """After a restart, only the trial that was in flight is suggested again."""
    cell, memory = cell_of(name), memory_of(name)
    before = run(opened(cell, name, memory), memory, most=cut)
    memory.keep(before[-1].trial, TrialState.INTERRUPTED)
    after = run(opened(cell, name, memory), memory)
    keys = [suggestion.trial.key for suggestion in after]
    assert before[-1].trial.key in keys
    assert not {suggestion.trial.key for suggestion in before[:-1]} & set(keys)
    assert len(memory.excluded_keys) == cell_planned(name)


def test_a_requested_trial_is_not_suggested(name: str) -> None:
    """If a user requests a trial inside the space, the trial counts as planned and is not suggested."""
    cell, memory = cell_of(name), memory_of(name)
    first = opened(cell, name, memory).next(())
    assert first is not None
    stream = opened(cell, name, memory)
    stream.add_requested(first.trial)
    assert first.trial.key not in {s.trial.key for s in run(stream, memory)}
    assert first.trial.key in stream.keys


def test_a_trial_whose_neural_dataset_is_being_fitted_waits(name: str) -> None:
    """A trial is held back while another trial fits its neural dataset."""
    cell, memory = cell_of(name), memory_of(name)
    stream = opened(cell, name, memory)
    first = opened(cell, name, memory).next(())
    assert first is not None
    other = stream.next(set(first.datasets))
    assert other is None or not set(other.datasets) & set(first.datasets)
    left = {s.trial.key for s in run(stream, memory)}
    assert first.trial.key in left


def test_every_ladder_holds_the_rungs_that_are_read(name: str) -> None:
    """A suggestion's ladders include all rungs that its trial reads. A grid's ladders include all step counts."""
    cell, memory = cell_of(name), memory_of(name)
    for suggestion in run(opened(cell, name, memory), memory):
        for need in suggestion.needs:
            assert need.rung in suggestion.ladders[need.digest]
            assert name != "grid" or suggestion.ladders[need.digest] == (1, 2, 4)


def test_a_sampler_says_whether_it_covers_its_space(name: str) -> None:
    """Only the grid sampler covers its space: the trials that it lists include every point."""
    cell, sampler = cell_of(name), SAMPLERS[name][0]
    listed = sampler.listed(cell)
    assert sampler.covers_space == (name == "grid")
    assert not sampler.covers_space or len({t.key for t in listed or ()}) == grid_size(cell.space)


def test_a_cell_survives_a_round_trip_through_json(name: str) -> None:
    """A cell is unchanged after it is described as JSON and read back."""
    plan, cell = plan_of(name)
    _, described = plan.describe()["cells"]
    found = described_cell(json.loads(json.dumps(described)))
    assert found.sampler.describe() == cell.sampler.describe()
    assert replace(found, sampler=cell.sampler) == replace(cell, label="digits8/siren")
    assert described["sampler"]["name"] == type(cell.sampler).__name__


def test_the_stream_suggests_the_listed_trials(name: str) -> None:
    """If a sampler lists its trials in advance, its stream suggests the listed trials in the same order."""
    cell, memory = cell_of(name), memory_of(name)
    if (listed := SAMPLERS[name][0].listed(cell)) is not None:
        assert [trial.key for trial in listed] == [s.trial.key for s in run(opened(cell, name, memory), memory)]


def test_replicates_are_the_same_points_with_other_seeds(name: str) -> None:
    """Every sampler except TPE supports replicates, which differ only in their seeds."""
    if name == "tpe":
        with pytest.raises(BadConfig, match=r"Tpe\(7\) with 2 replicates"):
            plan_of(name, replicates=2)
        return
    cell, memory = cell_of(name, replicates=2), memory_of(name)
    found = run(opened(cell, name, memory), memory)
    assert len(found) == plan_of(name, replicates=2)[1].planned
    assert len({s.trial.key for s in found}) == len(found)
    assert {s.needs[0].recipe.seed for s in found} == {0, 1}


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_winners_and_searches_follow_the_direction(direction: str) -> None:
    """The samplers Winners and TPE prefer high scores when maximizing and low scores when minimizing."""
    sign = 1 if direction == "maximize" else -1
    memory = memory_of("winners")
    memory.sign_of = lambda _phase: sign
    cell = cell_of("winners", direction=direction)
    won = {s.needs[0].recipe.optimizer.lr for s in run(opened(cell, "winners", memory), memory)}
    for init in ("shared", "random"):
        rows = [row for row in memory.early if row.config["dataset"]["init"]["name"] == init]
        best = sorted(rows, key=lambda row: -sign * row.score)[:2]
        assert {row.config["dataset"]["optimizer"]["lr"] for row in best} <= won
    searched = Tpe(40).open(cell_of("tpe", direction=direction), Memory())
    scores = [score_of(s.trial.model_dump(mode="json")) for s in run(searched, Memory())]
    assert sign * sum(scores[20:]) > sign * sum(scores[:20])


def test_winners_wait_for_the_earlier_phase() -> None:
    """Until the earlier phase is complete, the stream of winners suggests nothing and is not exhausted."""
    memory = memory_of("winners")
    memory.early_complete = False
    stream = opened(cell_of("winners"), "winners", memory)
    assert stream.next(()) is None
    assert not stream.exhausted
    memory.early_complete = True
    assert len(run(stream, memory)) == 4
    assert stream.exhausted


def test_a_larger_random_budget_extends_a_smaller_one() -> None:
    """The trials of a larger random budget begin with those of a smaller budget."""
    cell = cell_of("random")
    few, more = ([t.key for t in Random(n).listed(cell)] for n in (3, 7))
    assert more[:3] == few


def test_a_failed_trial_has_no_value_for_a_search() -> None:
    """A search learns no value from a failed trial, before or after a restart."""
    cell, memory = cell_of("tpe"), Memory()
    stream = Tpe(7).open(cell, memory)
    first = stream.next(())
    assert first is not None
    stream.tell(first.trial, memory.keep(first.trial, TrialState.FAILED))
    again = Tpe(7).open(cell, memory)
    assert [trial.value for one in (stream, again) for trial in one._study.trials] == [None, None]


@pytest.mark.parametrize(
    ("sampler", "space", "named"),
    [
        (Tpe(0), SEARCHED, r"Tpe\(0\)"),
        (Random(0), SEARCHED, r"Random\(0\)"),
        (Points([]), {}, "Points of 0 points .*1 point"),
        (Points(POINTS), LISTED, r"\['init'"),
        (Winners("early", k=0), SEARCHED, r"Winners\(k=0"),
        (Winners("early", by=("depth",)), SEARCHED, "depth"),
        (Grid(), SEARCHED, "a range"),
        (Grid(), {"lr": Categorical(tuple(range(2000))), "steps": Categorical(tuple(range(2000)))}, "4,000,000 trials"),
    ],
)
def test_an_impossible_sampler_is_refused_in_the_plan(sampler: Sampler, space: Space, named: str) -> None:
    """An impossible sampler is rejected with a one-line error that names the cell and the value."""
    with pytest.raises(BadConfig, match=named) as refused:
        replace(plan_of("grid")[1], sampler=sampler, space=space)
    assert "\n" not in str(refused.value)
    assert str(refused.value).startswith("digits8/siren: ")
