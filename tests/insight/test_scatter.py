"""Scatters hold every trial once; captions state what the trials show, and nothing else."""

import math
import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from nefstudy.insight.correlation import correlation
from nefstudy.insight.declared import Declarations
from nefstudy.insight.figure import downsample
from nefstudy.insight.ladders import ladders
from nefstudy.insight.pareto import pareto, pareto_front
from nefstudy.insight.scatter import scatter
from nefstudy.insight.trials import Trials

from .conftest import trial

Make = Callable[..., Trials]
PLANES = st.lists(st.tuples(st.integers(0, 9).map(float), st.integers(0, 9).map(float)), max_size=60)
STEPS = (5, 25, 75, 200)


def ladder(*values: float, **changes: object) -> list[dict[str, object]]:
    """Rungs of one ladder with these test accuracies."""
    return [
        trial(steps=steps, test_accuracy=value, val_accuracy=value, all_psnr=10.0 + i, **changes)  # type: ignore[arg-type]
        for i, (steps, value) in enumerate(zip(STEPS, values, strict=False))
    ]


def caption(trials: Trials, declared: Declarations) -> str:
    return scatter(trials, declared, id="quality", x="all_psnr", y="test_accuracy", joined=True).caption


def test_every_trial_with_both_numbers_is_a_dot(study: Trials, declared: Declarations) -> None:
    """None is lost and none made up; a missing or not finite number is not a dot at zero."""
    found = scatter(study, declared, id="quality", x="all_psnr", y="test_accuracy")
    dots = found.of_kind("dot")
    assert dots is not None
    wanted = set(zip(study["key"], study["all_psnr"], study["test_accuracy"], strict=True))
    assert set(zip(dots.columns["key"], dots.columns["x"], dots.columns["y"], strict=True)) == wanted
    broken = Trials({**study.columns, "all_psnr": [math.nan, None, *study["all_psnr"][2:]]})
    assert scatter(broken, declared, id="quality", x="all_psnr", y="test_accuracy").of == len(study) - 2


def test_axes_carry_what_the_metrics_declare(study: Trials, declared: Declarations) -> None:
    """Label, unit and the fixed domain of an accuracy come from the declaration."""
    found = scatter(study, declared, id="quality", x="all_psnr", y="test_accuracy")
    assert (found.x.title, found.y.title, found.y.domain) == ("PSNR (dB)", "test accuracy", (0.0, 1.0))


def test_over_training_is_claimed_only_where_the_best_ladder_falls(make: Make, declared: Declarations) -> None:
    """With a dip the caption says where and by how much; without one it says that the last rung is best."""
    dip = caption(make(*ladder(0.3, 0.8, 0.7, 0.65), *ladder(0.1, 0.2, 0.3, 0.4, hidden=8)), declared)
    assert "Over-training: along the best setting's ladder, test accuracy is best after 25 steps (0.800)" in dip
    assert "falls by 0.150 to 0.650 after 200" in dip
    assert "1 of 2 ladders end worse than their best rung" in dip
    rise = caption(make(*ladder(0.3, 0.5, 0.7, 0.9), *ladder(0.1, 0.4, 0.3, 0.2, hidden=8)), declared)
    assert "Over-training" not in rise
    assert "best at its last rung: 0.900 after 200 steps" in rise
    flat = caption(make(*ladder(0.3, 0.5, 0.5, 0.5)), declared)
    assert "Over-training" not in flat
    assert "stays at 0.500 from 25 steps on" in flat


def test_short_ladders_support_no_claim(make: Make, declared: Declarations) -> None:
    """Two rungs are joined, and no maximum between them is claimed."""
    words = caption(make(*ladder(0.8, 0.5)), declared)
    assert "nothing is known of over-training" in words


def test_only_steps_differ_within_a_ladder(make: Make) -> None:
    """Another seed, classifier or free parameter makes another ladder; rungs come by rising steps."""
    rows = [*ladder(0.3, 0.8, 0.7)[::-1], trial(steps=5, seed=1), trial(steps=200, classifier="mlp")]
    (found,) = ladders(make(*rows), y="test_accuracy", by=["hidden"])
    assert found.steps == (5, 25, 75)
    assert found.peak(1) == 1
    assert found.peak(-1) == 0


def test_rings_mark_the_best_rung_of_each_ladder(study: Trials, declared: Declarations) -> None:
    """Eighteen ladders have a line and a ring each, at the highest accuracy along it."""
    found = scatter(study, declared, id="quality", x="all_psnr", y="test_accuracy", joined=True)
    line, ring = found.of_kind("line"), found.of_kind("ring")
    assert line is not None
    assert ring is not None
    tops = {}
    for z, y in zip(line.columns["z"], line.columns["y"], strict=True):
        tops[z] = max(tops.get(z, 0.0), y)
    assert sorted(ring.columns["y"]) == sorted(tops.values())
    assert len(tops) == 18


def test_rank_correlations_come_with_n_and_interval(make: Make, declared: Declarations) -> None:
    """Each initialization has its own; they agree with scipy's."""
    rows = [trial(steps=i, all_nmi=x, test_accuracy=y) for i, (x, y) in
            enumerate([(0.1, 0.5), (0.2, 0.7), (0.3, 0.6), (0.4, 0.9), (0.4, 0.8)])]  # fmt: skip
    words = scatter(make(*rows), declared, id="structure", x="all_nmi", y="test_accuracy").caption
    rho = stats.spearmanr([0.1, 0.2, 0.3, 0.4, 0.4], [0.5, 0.7, 0.6, 0.9, 0.8]).statistic
    assert re.search(rf"shared \{rho:+.2f} \(n = 5, 95 % interval [+-]\d\.\d\d to \+\d\.\d\d\)", words)


def test_rank_correlation_agrees_with_monotone_data() -> None:
    """A monotone relation has rank correlation ±1; too few or constant data have none."""
    x = [1.0, 2.0, 3.0, 4.0, math.nan]
    up, down = correlation(x, [value**3 for value in x]), correlation(x, [-value for value in x])
    assert up is not None
    assert down is not None
    assert (up.rho, down.rho, up.n) == (pytest.approx(1), pytest.approx(-1), 4)
    assert correlation(x[:3], x[:3]) is None
    assert correlation(x, [1.0] * 5) is None


def test_no_trials_are_said_to_be_none(make: Make, declared: Declarations) -> None:
    """An empty study has a figure with words in place of dots."""
    assert caption(make(), declared) == "No complete trial has both numbers yet."


@given(PLANES)
def test_nothing_beats_the_front_and_the_front_beats_the_rest(plane: list[tuple[float, float]]) -> None:
    """No point is better in one value and no worse in the other than a front point; each other point has such a one."""
    x, y = [a for a, _ in plane], [b for _, b in plane]
    front = set(pareto_front(x, y))

    def beaten(i: int) -> bool:
        return any(x[j] >= x[i] and y[j] >= y[i] and (x[j] > x[i] or y[j] > y[i]) for j in range(len(x)))

    assert all(not beaten(i) for i in front)
    left_out = [i for i in range(len(x)) if i not in front and not beaten(i)]
    assert all(any(x[i] == x[j] and y[i] == y[j] for j in front) for i in left_out)


def test_the_front_follows_each_metrics_direction(make: Make, declared: Declarations) -> None:
    """A minimized metric is better when lower, so the other corner of the plane is the front."""
    rows = make(trial(test_loss=1.0, test_accuracy=0.5), trial(steps=5, test_loss=2.0, test_accuracy=0.5))
    assert pareto(rows, declared, x="test_loss", y="test_accuracy").column("test_loss") == [1.0]
    assert pareto(rows, declared, x="all_psnr", y="test_accuracy").of == 2


@given(PLANES, st.integers(1, 70))
def test_downsampling_keeps_what_fits_and_never_more(plane: list[tuple[float, float]], limit: int) -> None:
    """Rising indices without repeats, at most the limit; all of them when there is room."""
    kept = downsample([a for a, _ in plane], [b for _, b in plane], limit=limit)
    assert kept == sorted(set(kept))
    assert len(kept) == min(limit, len(plane))


def test_downsampling_keeps_the_lonely_point() -> None:
    """A thousand points in a heap lose most of theirs before the one outlier goes."""
    assert 1000 in downsample([i / 1e6 for i in range(1000)] + [1.0], [0.0] * 1000 + [1.0], limit=10)
