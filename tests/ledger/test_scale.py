"""Tests with thirty thousand trials: queries use indexes, and commits cost the same as in a small ledger."""

from collections.abc import Callable, Iterator

import pytest

from nefstudy.ledger import Filter, Ledger, TrialState

from .copies import multiply
from .records import as_cells
from .steps import EVERY, counted_steps

pytestmark = pytest.mark.slow

SEEDS, COPIES = 100, 300
CELLS = (("phase1", "digits8/siren"), ("phase1", "digits8/mfn"))
A_TRIAL = 15  # SQLite steps per trial; at most 10 were measured, for counts, which read one index entry per trial


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> str:
    return str(tmp_path_factory.mktemp("scale") / "ledger.db")


@pytest.fixture
def large(path, finish):
    """Yield a ledger with thirty thousand trials: a hundred real ones, and copies of them with different metrics."""
    with Ledger.open(path) as ledger:
        if ledger.studies.get("digits") is None:
            ledger.studies.put("digits", {}, cells=as_cells(dict.fromkeys(CELLS, SEEDS * COPIES // 2)))
            names = [f"all_{number}" for number in range(20)]
            for seed in range(SEEDS):
                metrics = dict.fromkeys(names, 0.5) | {"val_accuracy": seed / SEEDS, "all_psnr": 20.0}
                finish(ledger, seed, field="mfn" if seed % 2 else "siren", metrics=metrics)
            multiply(path, copies=COPIES, key="key || i", number="number + abs(random() % 1000) / 1e3")
        yield ledger


@pytest.fixture
def steps_of() -> Iterator[Callable[[Callable[[], object]], int]]:
    """Yield a function that counts the SQLite steps of a call."""
    with counted_steps() as count:
        yield count


def test_no_query_takes_more_than_some_steps_per_trial(large, steps_of):
    """No query takes more SQLite steps per trial of the ledger than the limit A_TRIAL.

    The queries read pages, counts, best trials, coverage and single trials.
    """
    assert sum(large.trials.counts("digits").values()) == SEEDS * COPIES
    rare, common = Filter("all_psnr", ">", 20.99), Filter("all_psnr", ">", 20.01)
    none, word = Filter("all_3", "<", 0.0), Filter("optimizer", "=", "adamw")
    cell, complete = "digits8/mfn", TrialState.COMPLETE
    pages = {
        "first": {},
        "cell": {"cell": cell, "state": complete},
        "failed": {"state": TrialState.FAILED},
        "score": {"sort": "-score"},
        "score in a cell": {"sort": "-score", "phase": "phase1", "cell": cell},
        "score in a cell by state": {"sort": "-score", "phase": "phase1", "cell": cell, "state": complete},
        "accuracy": {"sort": "-val_accuracy"},
        "accuracy in a cell": {"sort": "-val_accuracy", "phase": "phase1", "cell": cell, "state": complete},
        "metric": {"sort": "-all_7", "state": complete},
        "parameter": {"sort": "lr"},
        "column": {"sort": "started_at"},
        "rare": {"filters": [rare]},
        "common": {"filters": [common]},
        "rare and common by metric": {"filters": [rare, common], "sort": "all_7"},
        "common by score": {"filters": [common], "sort": "-score"},
        "common by accuracy": {"filters": [common], "sort": "-val_accuracy"},
        "none by accuracy": {"filters": [none], "sort": "-val_accuracy"},
        "none by score": {"filters": [none], "sort": "-score"},
        "word by metric": {"filters": [word], "sort": "-all_7"},
    }
    slow = {}
    for name, options in pages.items():
        slow[name] = steps_of(lambda options=options: large.trials.page("digits", **options))
    deep = None
    for _ in range(5):
        deep = large.trials.page("digits", sort="-all_7", limit=1000, cursor=deep).cursor
    slow["deep"] = steps_of(lambda: large.trials.page("digits", sort="-all_7", cursor=deep))
    slow["counts"] = steps_of(lambda: large.trials.counts("digits"))
    slow["best"] = steps_of(lambda: large.trials.best("digits"))
    coverage = steps_of(lambda: large.trials.coverage("digits", measure="all_psnr", part="all_7"))
    slow["coverage"] = coverage // 5  # reads two index entries, the row and two metrics of each trial
    slow["ends"] = steps_of(lambda: large.trials.ends("digits"))
    key = large.trials.page("digits", limit=1).rows[0].key
    names = ["phase", "cell", "init", "steps", "hidden", "dataset", "all_7", "val_accuracy"]
    slow["columns"] = steps_of(lambda: large.trials.columns("digits", names)) // len(names)
    slow["trial"] = steps_of(lambda: large.trials.get(key))
    assert {name: count for name, count in slow.items() if count > A_TRIAL * SEEDS * COPIES} == {}


def test_commit_costs_the_same_as_in_a_small_ledger(large, finish, sqlite, steps_of):
    """The number of SQLite steps for requesting, starting and completing a trial does not grow with the ledger."""
    seeds = iter(range(1000, 2000))
    small = steps_of(lambda: [finish(sqlite, next(seeds)) for _ in range(10)]) / 10
    big = steps_of(lambda: [finish(large, next(seeds)) for _ in range(10)]) / 10
    assert 0 < big < 1.2 * small + EVERY
