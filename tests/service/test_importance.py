"""Importance finds the parameter that matters, and only where there is something to find."""

import random
import threading

import pytest

from nefstudy.service import figures, snapshot
from nefstudy.service.importance import BINS, MIN_TRIALS, binned, importance, shares_of

from .conftest import STUDY


def search(n: int, seed: int = 0) -> tuple[dict[str, list], list[float]]:
    """Random parameters, and scores that depend on `lr` most, on `start` somewhat, and never on `noise`."""
    rng = random.Random(seed)
    columns = {
        "lr": [10 ** rng.uniform(-5, -1) for _ in range(n)],
        "init": [rng.choice(["shared", "random"]) for _ in range(n)],
        "noise": [rng.random() for _ in range(n)],
        "fixed": [3] * n,
    }
    pairs = zip(columns["lr"], columns["init"], strict=True)
    return columns, [-abs(lr - 1e-3) * 1e3 + 0.6 * (start == "shared") + 0.01 * rng.random() for lr, start in pairs]


def test_what_matters_comes_first_and_shares_add_up():
    """The parameter the score was made of leads, noise is near nothing, and what never varies is left out."""
    shares = shares_of(*search(1000))
    assert sum(shares.values()) == pytest.approx(1)
    assert max(shares, key=shares.__getitem__) == "lr"
    assert shares["noise"] < 0.01 < shares["init"]
    assert "fixed" not in shares


def test_importance_follows_the_score():
    """The same parameters with scores made of another one have another order."""
    columns, _ = search(1000)
    shares = shares_of(columns, columns["noise"])
    assert max(shares, key=shares.__getitem__) == "noise"


def test_the_order_of_trials_does_not_matter():
    """Shuffled trials give the same shares."""
    columns, scores = search(300)
    order = list(range(300))
    random.Random(1).shuffle(order)
    again = shares_of(
        {name: [values[i] for i in order] for name, values in columns.items()}, [scores[i] for i in order]
    )
    assert again == pytest.approx(shares_of(columns, scores))


def test_few_trials_say_nothing():
    """Below the least number of trials there are no shares, at it there are."""
    assert shares_of(*search(MIN_TRIALS - 1)) == {}
    assert shares_of(*search(MIN_TRIALS))


@pytest.mark.parametrize(
    "values", [[None, 1, 2] * 9, ["a", None, "b"], [True, False, None], list(range(100)), [1.5] * 5]
)
def test_bins_are_few_for_numbers_and_equal_values_share_one(values):
    """Equal values fall into one bin; numbers fall into a handful of them in their order."""
    bins = binned(values)
    assert all(bins[i] == bins[j] for i, a in enumerate(values) for j, b in enumerate(values) if a == b)
    assert len(set(bins)) <= BINS + 1
    assert [b for v, b in zip(values, bins, strict=True) if v is None] == [-1] * values.count(None)


def test_a_study_without_trials_has_no_importance(ledger, client_of):
    """Before the first trial: no parameters, not an error; the route says the same."""
    ledger.studies.put(STUDY, {}, cells={})
    assert importance(ledger, STUDY) == {"trials": 0, "target": "val_accuracy", "parameters": []}
    assert client_of(ledger).get(f"/v1/studies/{STUDY}/importance").json()["parameters"] == []


def test_a_study_has_the_importance_of_its_columns(filled):
    """Too few trials here: counted, and without shares; seeds are never among the parameters."""
    found = importance(filled[0], STUDY)
    assert (found["trials"], found["parameters"]) == (16, [])


def test_what_takes_long_is_computed_aside(filled, client_of, monkeypatch):
    """While it is being computed: 202 and when to ask again, other routes at once; then 200, computed once."""
    release, calls = threading.Event(), []

    def slow(ledger, study, **options):
        calls.append(options)
        release.wait(20)
        return importance(ledger, study, **options)

    monkeypatch.setattr(figures, "importance", slow)
    monkeypatch.setattr(snapshot, "WAIT_S", 0.05)
    client = client_of(filled[0])
    path = f"/v1/studies/{STUDY}/importance"
    for _ in range(3):
        answer = client.get(path)
        assert (answer.status_code, answer.headers["retry-after"], answer.json()["trials"]) == (202, "2", 0)
    assert client.get(f"/v1/studies/{STUDY}/progress").status_code == 200
    release.set()
    monkeypatch.setattr(snapshot, "WAIT_S", 20.0)
    assert (client.get(path).status_code, client.get(path).json()["trials"]) == (200, 16)
    assert len(calls) == 1


def test_only_so_much_is_computed_aside(filled, monkeypatch):
    """One question too many is told to come again and starts nothing."""
    monkeypatch.setattr(snapshot, "WAIT_S", 0.01)
    release = threading.Event()
    kept = snapshot.Snapshots(filled[0])
    for number in range(snapshot.MAX_JOBS):
        assert kept.soon(STUDY, str(number), lambda: b"%d" % release.wait(20)) is None
    assert kept.soon(STUDY, "more", lambda: pytest.fail("it was started")) is None
    release.set()
