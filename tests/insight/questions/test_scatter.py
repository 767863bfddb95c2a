"""Tests of scatter plots, ladders, rank correlations, Pareto fronts, downsampling and computed captions."""

import math
import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from nefstudy.insight.correlation import correlation
from nefstudy.insight.declared import Declarations, declarations
from nefstudy.insight.figure import downsample
from nefstudy.insight.questions.ladders import Z, accuracy_interval, ladders
from nefstudy.insight.questions.pareto import pareto, pareto_front
from nefstudy.insight.questions.scatter import scatter, scatter_columns
from nefstudy.insight.trials import TrialColumns

from ..synthetic_study import METRICS, cell_plan, trial

Make = Callable[..., TrialColumns]
PLANES = st.lists(st.tuples(st.integers(0, 9).map(float), st.integers(0, 9).map(float)), max_size=60)
STEPS = (5, 25, 75, 200)


def ladder(*values: float, **changes: object) -> list[dict[str, object]]:
    """Return the rungs of a ladder with the given test accuracies."""
    return [
        trial(steps=steps, test_accuracy=value, val_accuracy=value, all_psnr=10.0 + i, **changes)  # type: ignore[arg-type]
        for i, (steps, value) in enumerate(zip(STEPS, values, strict=False))
    ]


def caption(trials: TrialColumns, declared: Declarations) -> str:
    return scatter(trials, declared, id="quality", x="all_psnr", y="test_accuracy", joined=True).caption


def test_every_trial_with_both_numbers_is_a_dot(study: TrialColumns, declared: Declarations) -> None:
    """Each trial for which both metrics are finite has a dot, and no other trial has one."""
    found = scatter(study, declared, id="quality", x="all_psnr", y="test_accuracy")
    dots = found.of_kind("dot")
    assert dots is not None
    expected = set(zip(study["key"], study["all_psnr"], study["test_accuracy"], strict=True))
    assert set(zip(dots.columns["key"], dots.columns["x"], dots.columns["y"], strict=True)) == expected
    broken = TrialColumns({**study.columns, "all_psnr": [math.nan, None, *study["all_psnr"][2:]]})
    assert scatter(broken, declared, id="quality", x="all_psnr", y="test_accuracy").of == len(study) - 2


def test_axes_carry_what_the_metrics_declare(study: TrialColumns, declared: Declarations) -> None:
    """The axes have the labels, units and domains that the metrics declare."""
    found = scatter(study, declared, id="quality", x="all_psnr", y="test_accuracy")
    assert (found.x.title, found.y.title, found.y.domain) == ("PSNR (dB)", "test accuracy", (0.0, 1.0))


def test_chance_is_drawn_where_all_trials_shown_share_it(study: TrialColumns) -> None:
    """The chance level is drawn only if all shown cells declare the same level."""

    def declared(**chances: float | None) -> Declarations:
        levels = {field: [{**m, "chance": level} for m in METRICS] for field, level in chances.items()}
        return declarations({"cells": [cell_plan(cell=f"mnist5k/{f}", metrics=told) for f, told in levels.items()]})

    def drawn(own: Declarations, trials: TrialColumns = study) -> object:
        rule = scatter(trials, own, id="quality", x="all_psnr", y="test_accuracy").of_kind("rule")
        return None if rule is None else (rule.label, rule.columns)

    same = declared(siren=0.1, rffnet=0.1, mfn=0.1)
    other = declared(siren=0.1, rffnet=0.1, mfn=0.2)
    assert drawn(same) == ("chance", {"y": [0.1]})
    assert drawn(other) is None
    one = study.where(lambda index: study["field"][index] == "mfn")
    assert drawn(other, one) == ("chance", {"y": [0.2]})
    assert drawn(declared(siren=None, rffnet=None, mfn=None)) is None


def test_over_training_is_claimed_only_where_the_best_ladder_falls(make: Make, declared: Declarations) -> None:
    """The caption claims over-training only if the best ladder falls by more than its interval.

    It states the step count that validation picks, the loss after it, and the interval.
    """
    rows = [*ladder(0.3, 0.8, 0.7, 0.65, test_signals=400), *ladder(0.1, 0.2, 0.3, 0.4, hidden=8, test_signals=400)]
    dip = caption(make(*rows), declared)
    best = "along the best setting's ladder, validation accuracy is best after 25 steps (test accuracy 0.800)"
    low, high = (stats.binomtest(k, 400).proportion_ci(method="wilson") for k in (320, 260))
    half = math.hypot(0.8 - low.low, high.high - 0.65)
    assert f"Over-training: {best}; after 200, the last rung, it is 0.150 worse" in dip
    assert f"more than the 95 % interval of the difference, ± {half:.3f}." in dip
    assert (
        "test accuracy gets worse by more than its 95 % interval in 1 of 2 ladders; on average, it is 0.075 worse"
        in dip
    )
    few = caption(make(*({**row, "test_signals": 20} for row in rows)), declared)
    assert "Over-training" not in few
    assert "gets worse by more than its 95 % interval in 0 of 2 ladders" in few
    unknown = caption(make(*({**row, "test_signals": None} for row in rows)), declared)
    assert "Over-training" not in unknown
    assert "0.150 worse. From there to the last rung, test accuracy gets worse in 1 of 2 ladders" in unknown
    rise = caption(make(*ladder(0.3, 0.5, 0.7, 0.9), *ladder(0.1, 0.4, 0.3, 0.2, hidden=8)), declared)
    assert "Over-training" not in rise
    assert "validation accuracy is best after 200 steps, the last rung (test accuracy 0.900)." in rise
    flat = caption(make(*ladder(0.3, 0.5, 0.5, 0.5)), declared)
    assert "after 200, the last rung, it is the same." in flat


def test_a_peak_of_test_accuracy_by_chance_is_not_picked(make: Make, declared: Declarations) -> None:
    """The ring and the caption follow the rung that validation picks, even if another has a higher test accuracy."""
    rows = ladder(0.3, 0.5, 0.7, 0.6)
    rows[1]["test_accuracy"] = 0.9
    found = scatter(make(*rows), declared, id="quality", x="all_psnr", y="test_accuracy", joined=True)
    ring = found.of_kind("ring")
    assert ring is not None
    assert (ring.columns["x"], ring.columns["y"]) == ([12.0], [0.7])
    assert found.of_kind("interval") is None
    assert "after 75 steps (test accuracy 0.700); after 200, the last rung, it is 0.100 worse" in found.caption


def test_short_ladders_support_no_claim(make: Make, declared: Declarations) -> None:
    """If ladders have only two rungs, the caption says that over-training cannot be assessed."""
    assert caption(make(*ladder(0.8)), declared).startswith("1 complete trial. ")
    words = caption(make(*ladder(0.8, 0.5)), declared)
    assert words.startswith("2 complete trials. Each line is a ladder: one fit, with a rung for each of ")
    assert "over-training cannot be assessed" in words


def test_only_steps_differ_within_a_ladder(make: Make) -> None:
    """A ladder contains only trials of the same seed and classifier, sorted by steps."""
    rows = [*ladder(0.3, 0.8, 0.7)[::-1], trial(steps=5, seed=1), trial(steps=200, classifier="mlp")]
    trials = make(*rows)
    (only,) = ladders(trials, y="test_accuracy", scores=trials["val_accuracy"], by=["hidden"])
    assert list(only.steps) == [5, 25, 75]
    assert only.picked == 1


def test_rings_mark_the_picked_rung_of_each_ladder(study: TrialColumns, declared: Declarations) -> None:
    """Each of the eighteen ladders has a line, and a ring at the rung with the highest validation accuracy.

    A bar is the interval of the ring's accuracy over the test signals.
    """
    counted = TrialColumns({**study.columns, "test_signals": [100] * len(study)})
    found = scatter(counted, declared, id="quality", x="all_psnr", y="test_accuracy", joined=True)
    line, ring, bar = found.of_kind("line"), found.of_kind("ring"), found.of_kind("interval")
    assert line is not None
    assert ring is not None
    assert bar is not None
    tops: dict[object, float] = {}  # test and validation accuracy have their maxima at the same rungs
    for z, y in zip(line.columns["z"], line.columns["y"], strict=True):
        tops[z] = max(tops.get(z, 0.0), y)
    assert sorted(ring.columns["y"]) == sorted(tops.values())
    assert len(tops) == 18
    assert bar.columns["x"] == ring.columns["x"]
    for y, low, high in zip(ring.columns["y"], bar.columns["y1"], bar.columns["y2"], strict=True):
        share = ((100 * y + Z**2 / 2) - Z * math.sqrt(100 * y * (1 - y) + Z**2 / 4)) / (100 + Z**2)
        assert low == pytest.approx(share)
        assert 0 <= low < y < high <= 1


def test_rank_correlations_come_with_n_and_interval(make: Make, declared: Declarations) -> None:
    """For each initialization, the caption states the rank correlation with its n and interval.

    The correlation equals scipy's.
    """
    rows = [trial(steps=i, all_nmi=x, test_accuracy=y) for i, (x, y) in
            enumerate([(0.1, 0.5), (0.2, 0.7), (0.3, 0.6), (0.4, 0.9), (0.4, 0.8)])]  # fmt: skip
    words = scatter(make(*rows), declared, id="structure", x="all_nmi", y="test_accuracy").caption
    rho = stats.spearmanr([0.1, 0.2, 0.3, 0.4, 0.4], [0.5, 0.7, 0.6, 0.9, 0.8]).statistic
    assert re.search(rf"shared \{rho:+.2f} \(n = 5, 95 % interval [+-]\d\.\d\d to \+\d\.\d\d\)", words)


def test_scores_of_clusters_come_with_the_number_of_fields(make: Make, declared: Declarations) -> None:
    """The caption of NMI and AMI states the number of clustered fields, as a range if trials differ."""
    rows = [trial(steps=steps, all_ami=0.1, clustered=count) for steps, count in ((5, 1797.0), (25, 1790.0))]
    for x in ("all_nmi", "all_ami"):
        shown = scatter(make(*rows), declared, id="structure", x=x, y="test_accuracy").caption
        assert "(n = 1,790 to 1,797 fields)." in shown
        assert "(n = 1,797 fields)." in scatter(make(rows[0]), declared, id="s", x=x, y="test_accuracy").caption
        assert "clustered" in scatter_columns(declared, phase=None, cell=None, x=x, y="test_accuracy")
    old = scatter(make(trial()), declared, id="structure", x="all_nmi", y="test_accuracy").caption
    assert "fields)" not in old


def test_rank_correlation_agrees_with_monotone_data() -> None:
    """The rank correlation of monotone data is ±1.

    Too few or constant values have no rank correlation.
    """
    x = [1.0, 2.0, 3.0, 4.0, math.nan]
    up, down = correlation(x, [value**3 for value in x]), correlation(x, [-value for value in x])
    assert up is not None
    assert down is not None
    assert (up.rho, down.rho) == pytest.approx((1, -1))
    assert up.n == 4
    assert correlation(x[:3], x[:3]) is None
    assert correlation(x, [1.0] * 5) is None


def test_caption_without_trials(make: Make, declared: Declarations) -> None:
    """Without trials, the caption states that there are none."""
    assert caption(make(), declared) == "No complete trial has both metrics yet."


@given(PLANES)
def test_nothing_beats_the_front_and_the_front_beats_the_rest(plane: list[tuple[float, float]]) -> None:
    """No point dominates a point of the Pareto front.

    Every other point is dominated, or equals a point of the front.
    """
    x, y = [a for a, _ in plane], [b for _, b in plane]
    front = set(pareto_front(x, y))

    def beaten(i: int) -> bool:
        return any(x[j] >= x[i] and y[j] >= y[i] and (x[j] > x[i] or y[j] > y[i]) for j in range(len(x)))

    assert all(not beaten(i) for i in front)
    left_out = [i for i in range(len(x)) if i not in front and not beaten(i)]
    assert all(any(x[i] == x[j] and y[i] == y[j] for j in front) for i in left_out)


def test_the_front_follows_each_metrics_direction(make: Make, declared: Declarations) -> None:
    """The Pareto front treats lower values of a minimized metric as better."""
    rows = make(trial(test_loss=1.0, test_accuracy=0.5), trial(steps=5, test_loss=2.0, test_accuracy=0.5))
    assert pareto(rows, declared, x="test_loss", y="test_accuracy").column("test_loss") == [1.0]
    assert pareto(rows, declared, x="all_psnr", y="test_accuracy").of == 2


@given(PLANES, st.integers(1, 70))
def test_downsampling_respects_the_limit(plane: list[tuple[float, float]], limit: int) -> None:
    """Downsampling returns `limit` distinct indices in ascending order, or all indices if there are fewer."""
    kept = downsample([a for a, _ in plane], [b for _, b in plane], limit=limit)
    assert kept == sorted(set(kept))
    assert len(kept) == min(limit, len(plane))


def test_downsampling_keeps_outliers() -> None:
    """Downsampling keeps a single outlier next to a dense cluster of a thousand points."""
    assert 1000 in downsample([i / 1e6 for i in range(1000)] + [1.0], [0.0] * 1000 + [1.0], limit=10)


def test_the_best_setting_follows_the_objective_whatever_is_shown(make: Make, declared: Declarations) -> None:
    """The caption describes the setting with the best objective, whichever metric the figure shows."""
    rows = [
        trial(hidden=hidden, steps=steps, val_accuracy=accuracy, val_loss=loss - steps / 1000)
        for hidden, accuracy, loss in ((8, 0.9, 1.0), (32, 0.2, 5.0))
        for steps in (5, 25, 75)
    ]
    found = scatter(make(*rows), declared, id="ladders", x="steps", y="val_loss", joined=True)
    assert "after 75, the last rung, it is 0.07 better" in found.caption


@pytest.mark.parametrize(("right", "n"), [(10, 10), (0, 7), (320, 400)])
def test_the_interval_of_an_accuracy_is_wilsons(right: int, n: int) -> None:
    """The interval equals scipy's Wilson interval and stays within 0 and 1."""
    expected = stats.binomtest(right, n).proportion_ci(method="wilson")
    assert accuracy_interval(right / n, n) == pytest.approx((expected.low, expected.high), abs=1e-4)


@pytest.mark.parametrize(("accuracy", "n"), [(50.0, 100), (0.5, None), (0.5, 0)])
def test_a_value_that_is_not_an_accuracy_has_no_interval(accuracy: float, n: object) -> None:
    """A percentage, or an accuracy over an unknown number of signals, has no interval."""
    assert accuracy_interval(accuracy, n) is None


def test_ladders_without_the_objective_have_no_best_rung(make: Make, declared: Declarations) -> None:
    """If no trial has the objective, no rung is ringed or called the best."""
    rows = [{**row, "val_accuracy": math.nan} for row in ladder(0.3, 0.5, 0.7)]
    found = scatter(make(*rows), declared, id="quality", x="all_psnr", y="test_accuracy", joined=True)
    ring = found.of_kind("ring")
    assert ring is not None
    assert len(ring) == 0
    assert "best" not in found.caption
