"""What every sampler keeps: its plan, its ladders, its memory after a restart, and requests of users."""

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
from nefstudy.study.described import described_cell
from nefstudy.study.plan import CellPlan, StudyPlan
from nefstudy.study.samplers import Grid, Points, Random, Tpe, Winners
from nefstudy.study.samplers.stream import DONE, Cell, Sampler, Stream, Suggestion
from nefstudy.study.space import INIT, Choice, Real, Space, Whole
from nefstudy.tasks.task import Objective, SignalTraits

LISTED: Space = {"init": INIT, "hidden": Choice((4, 8)), "steps": Choice((1, 2, 4))}
SEARCHED: Space = {"init": INIT, "hidden": Whole(4, 16, multiple=2), "lr": Real(1e-4, 1e-1, log=True)}
POINTS = [{"init": "shared", "steps": 3}, {"init": "random", "steps": 2}]
SAMPLERS: dict[str, tuple[Sampler, Space]] = {
    "grid": (Grid(), LISTED),
    "points": (Points(POINTS), {}),
    "random": (Random(7), SEARCHED),
    "tpe": (Tpe(7), SEARCHED),
    "winners": (Winners("early", k=2, by=("init",)), SEARCHED),
}


def score_of(config: Mapping[str, Any]) -> float:
    """A score that prefers a large learning rate and shared inits."""
    dataset = config["dataset"]
    return dataset["optimizer"]["lr"] + (dataset["init"]["name"] == "shared")


@dataclass
class Memory:
    """What a ledger would hold of one cell, and of an earlier phase."""

    rows_: dict[str, Any] = field(default_factory=dict)
    early: list[Any] = field(default_factory=list)
    early_complete: bool = True

    @property
    def done(self) -> Collection[str]:
        return {key for key, row in self.rows_.items() if row.state in DONE}

    ended = done

    @property
    def begun(self) -> Sequence[Any]:
        return [row for row in self.rows_.values() if row.state not in DONE]

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
    """The parts of a ledger's row that samplers read."""
    config = trial.model_dump(mode="json")
    return SimpleNamespace(key=trial.key, state=state, config=config, score=score, cause=None)


def plan_of(name: str, *, direction: str = "maximize", replicates: int = 1) -> tuple[StudyPlan, CellPlan]:
    """A plan with one cell of a sampler."""
    sampler, space = SAMPLERS[name]
    cell = CellPlan(
        phase="late",
        signals=SignalsConfig(name="digits8"),
        field="siren",
        space=space,
        fixed={name: value for name, value in {"steps": 2, "omega_0": 9.0}.items() if name not in space},
        sampler=sampler,
        objective=Objective("val_accuracy", direction),  # type: ignore[arg-type]  # one of the two
        replicates=replicates,
        traits=SignalTraits(IMAGE),
    )
    early = replace(
        cell, phase="early", sampler=Random(10), space=SEARCHED, fixed={"steps": 2, "omega_0": 9.0}, replicates=1
    )
    return StudyPlan(study="s", cells=(early, cell)), cell


def cell_of(name: str, **changes: Any) -> Cell:
    """The cell of a sampler as the sampler sees it."""
    plan, cell = plan_of(name, **changes)
    return plan.sampled(cell)


def memory_of(name: str) -> Memory:
    """An empty memory; for winners with an early phase of ten trials."""
    if name != "winners":
        return Memory()
    early = cell_of("random")
    trials = list(Random(10).listed(early))
    return Memory(early=[row_of(t, score=score_of(t.model_dump(mode="json"))) for t in trials])


def opened(cell: Cell, name: str, memory: Memory) -> Stream:
    return SAMPLERS[name][0].open(cell, memory)  # type: ignore[arg-type]  # a memory reads as a ledger does


def run(stream: Stream, memory: Memory, *, most: int = 1000) -> list[Suggestion]:
    """Hand out trials one after another, each complete before the next."""
    found: list[Suggestion] = []
    while len(found) < most and (suggestion := stream.next(())) is not None:
        found.append(suggestion)
        stream.tell(suggestion.trial, memory.keep(suggestion.trial, TrialState.COMPLETE))
    return found


@pytest.fixture(params=SAMPLERS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_it_hands_out_as_many_distinct_trials_as_it_plans(name: str) -> None:
    """Then it is exhausted, and its keys are those trials."""
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
def test_after_a_restart_it_repeats_only_what_did_not_end(name: str, cut: int) -> None:
    """The trial in flight comes again; the others do not, and the total stays."""
    cell, memory = cell_of(name), memory_of(name)
    before = run(opened(cell, name, memory), memory, most=cut)
    memory.keep(before[-1].trial, TrialState.INTERRUPTED)
    after = run(opened(cell, name, memory), memory)
    keys = [suggestion.trial.key for suggestion in after]
    assert before[-1].trial.key in keys
    assert not {suggestion.trial.key for suggestion in before[:-1]} & set(keys)
    assert len(memory.done) == cell_planned(name)


def test_what_is_asked_for_by_a_user_is_not_suggested(name: str) -> None:
    """An adopted trial of the space counts, and does not come a second time."""
    cell, memory = cell_of(name), memory_of(name)
    first = opened(cell, name, memory).next(())
    assert first is not None
    stream = opened(cell, name, memory)
    stream.adopt(first.trial)
    assert first.trial.key not in {s.trial.key for s in run(stream, memory)}
    assert first.trial.key in stream.keys


def test_a_trial_whose_neural_dataset_is_being_fitted_waits(name: str) -> None:
    """Others may go on; once the fit is over the trial is handed out."""
    cell, memory = cell_of(name), memory_of(name)
    stream = opened(cell, name, memory)
    first = opened(cell, name, memory).next(())
    assert first is not None
    other = stream.next(set(first.datasets))
    assert other is None or not set(other.datasets) & set(first.datasets)
    left = {s.trial.key for s in run(stream, memory)}
    assert first.trial.key in left


def test_every_ladder_holds_the_rung_that_is_read(name: str) -> None:
    """What is fitted serves the trial itself, and in a list of points all that read the same neural dataset."""
    cell, memory = cell_of(name), memory_of(name)
    for suggestion in run(opened(cell, name, memory), memory):
        for need in suggestion.needs:
            assert need.rung in suggestion.ladders[need.digest]
            assert name != "grid" or suggestion.ladders[need.digest] == (1, 2, 4)


def test_it_is_plain_data_and_read_back(name: str) -> None:
    """Through JSON, a described cell is the cell."""
    plan, cell = plan_of(name)
    _, described = plan.describe()["cells"]
    found = described_cell(json.loads(json.dumps(described)))
    assert found.sampler.describe() == cell.sampler.describe()
    assert replace(found, sampler=cell.sampler) == replace(cell, label="digits8/siren")
    assert described["sampler"]["name"] == type(cell.sampler).__name__


def test_listed_trials_are_what_the_stream_hands_out(name: str) -> None:
    """Where a sampler lists its trials, cost and disk are computed from just these."""
    cell, memory = cell_of(name), memory_of(name)
    listed = SAMPLERS[name][0].listed(cell)
    if listed is not None:
        keys = [trial.key for trial in listed]
        assert keys == [s.trial.key for s in run(opened(cell, name, memory), memory)]


def test_replicates_are_the_same_points_with_other_seeds(name: str) -> None:
    """Samplers that list points take them; TPE refuses."""
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
    """The winners are the best of each group; TPE's later suggestions are better than its first, either way."""
    sign = 1 if direction == "maximize" else -1
    memory = memory_of("winners")
    cell = cell_of("winners", direction=direction)
    won = {s.trial.dataset.optimizer.lr for s in run(opened(cell, "winners", memory), memory)}
    for init in ("shared", "random"):
        rows = [row for row in memory.early if row.config["dataset"]["init"]["name"] == init]
        best = sorted(rows, key=lambda row: -sign * row.score)[:2]
        assert {row.config["dataset"]["optimizer"]["lr"] for row in best} <= won
    searched = Tpe(40).open(cell_of("tpe", direction=direction), Memory())  # type: ignore[arg-type]  # as above
    scores = [score_of(s.trial.model_dump(mode="json")) for s in run(searched, Memory())]
    assert sign * sum(scores[20:]) > sign * sum(scores[:20])


def test_winners_wait_for_the_earlier_phase() -> None:
    """Until it is complete nothing is suggested, and the stream is not exhausted."""
    memory = memory_of("winners")
    memory.early_complete = False
    stream = opened(cell_of("winners"), "winners", memory)
    assert stream.next(()) is None
    assert not stream.exhausted
    memory.early_complete = True
    assert len(run(stream, memory)) == 4
    assert stream.exhausted


def test_a_larger_random_budget_extends_a_smaller_one() -> None:
    """Draws depend on their number alone."""
    cell = cell_of("random")
    few, more = ([t.key for t in Random(n).listed(cell)] for n in (3, 7))
    assert more[:3] == few


def test_a_failed_trial_is_no_finding_for_a_search() -> None:
    """The sampler is told that it failed: its memory holds no value for it, now and after a restart."""
    cell, memory = cell_of("tpe"), Memory()
    stream = Tpe(7).open(cell, memory)  # type: ignore[arg-type]  # as above
    first = stream.next(())
    assert first is not None
    stream.tell(first.trial, memory.keep(first.trial, TrialState.FAILED))
    again = Tpe(7).open(cell, memory)  # type: ignore[arg-type]  # as above
    assert [trial.value for one in (stream, again) for trial in one._study.trials] == [None, None]


@pytest.mark.parametrize(
    ("sampler", "space", "named"),
    [
        (Tpe(0), SEARCHED, r"Tpe\(0\)"),
        (Random(0), SEARCHED, r"Random\(0\)"),
        (Points([]), {}, "Points takes one point or more"),
        (Points(POINTS), LISTED, r"a space of \['init'"),
        (Winners("early", k=0), SEARCHED, r"Winners\(k=0"),
        (Winners("early", by=("depth",)), SEARCHED, "depth"),
        (Grid(), SEARCHED, "is a range"),
        (Grid(), {"lr": Choice(tuple(range(2000))), "steps": Choice(tuple(range(2000)))}, "4,000,000 trials"),
    ],
)
def test_what_cannot_be_sampled_is_refused_in_the_plan(sampler: Sampler, space: Space, named: str) -> None:
    """One line that names the cell and the value."""
    with pytest.raises(BadConfig, match=named) as refused:
        replace(plan_of("grid")[1], sampler=sampler, space=space)
    assert "\n" not in str(refused.value)
    assert str(refused.value).startswith("digits8/siren: ")
