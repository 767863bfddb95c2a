"""Pages of trials: complete, ordered, unshifted by later rows, and the same as filtering a list in Python."""

import base64
import itertools
import json
import math
import operator
import random
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nefstudy.errors import BadConfig
from nefstudy.ledger import Filter, TrialState

from .records import as_record

OPERATORS = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
NAMES = ("seed", "steps", "init", "cell", "val_accuracy", "all_psnr", "nmi", "lr", "field", "reused")


@pytest.fixture
def filled(ledger, trial):
    """Forty trials in every state, with ties, gaps and NaN among their values."""
    draw = random.Random(1)
    for seed in range(40):
        made = trial(
            seed,
            field=draw.choice(["siren", "mfn"]),
            init=draw.choice(["random", "shared"]),
            steps=draw.choice([5, 75]),
            lr=draw.choice([1e-4, 1e-3, 1e-2]),
        )
        phase = draw.choice(["phase1", "phase2"])
        token = ledger.trials.request("digits", phase, record=as_record(made))
        if seed % 5 == 0:
            continue
        if seed % 7 == 0:
            ledger.trials.fail("digits", phase, key=made.key, token=token, cause="oom", error="")
            continue
        metrics = {"val_accuracy": draw.randrange(5) / 4, "all_psnr": draw.choice([20.0, 21.5, 30.0, math.nan])}
        if draw.random() < 0.5:
            metrics["nmi"] = draw.random()
        ledger.trials.complete("digits", phase, key=made.key, token=token, metrics=metrics)
    return ledger


def value(row, name):
    """What a row has under a name, None for nothing or NaN."""
    known = {**row.metrics, **row.parameters}
    found = getattr(row, name, known.get(name))
    return None if isinstance(found, float) and math.isnan(found) else found


def collect(ledger, *, limit, **options):
    """All rows of a query, page by page."""
    rows, cursor = [], None
    while True:
        page = ledger.trials.page("digits", limit=limit, cursor=cursor, **options)
        assert len(page.rows) <= limit
        rows += page.rows
        if page.cursor is None:
            return rows
        cursor = page.cursor


def in_order(rows, sort):
    """Rows with the sort value in order, then those without it as they were requested."""
    name, down = sort.removeprefix("-"), sort.startswith("-")
    valued = [row for row in rows if value(row, name) is not None]
    if down:
        valued.reverse()
    valued.sort(key=lambda row: value(row, name), reverse=down)
    return valued + [row for row in rows if value(row, name) is None]


def test_pages_hold_every_trial_once_in_order(filled):
    """Whatever the sort and page size, the pages together are the sorted list; rows without the value come last."""
    every = filled.trials.page("digits", limit=None).rows
    assert len(every) == 40
    for sort in (None, "seed", "-steps", "-val_accuracy", "all_psnr", "-nmi", "lr", "cell", "-score"):
        expected = list(every) if sort is None else in_order(list(every), sort)
        for limit in (7, 40, 100):
            found = collect(filled, sort=sort, limit=limit)
            assert [row.key for row in found] == [row.key for row in expected], (sort, limit)
    one_by_one = collect(filled, sort="-nmi", limit=1)
    assert [row.key for row in one_by_one] == [row.key for row in in_order(list(every), "-nmi")]


def test_filters_agree_with_a_list(filled):
    """Any conjunction of filters, sorted by anything, gives what filtering the whole list gives."""
    every = filled.trials.page("digits", limit=None).rows
    pools = {name: sorted({value(row, name) for row in every} - {None}) for name in NAMES}

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def check(data):
        names = data.draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=3))
        filters = []
        for name in names:
            ops = ["=", "!="] if name == "reused" else list(OPERATORS)
            op, wanted = data.draw(st.sampled_from(ops)), data.draw(st.sampled_from(pools[name]))
            filters.append(Filter(name, op, wanted))
        sort = data.draw(st.sampled_from([None, *NAMES[:-1], *(f"-{name}" for name in NAMES[:-1])]))
        state = data.draw(st.sampled_from([None, TrialState.COMPLETE]))
        phase, cell = data.draw(st.sampled_from([(None, None), ("phase1", None), ("phase1", "digits8/siren")]))
        expected = [
            row
            for row in every
            if state in (None, row.state)
            and phase in (None, row.phase)
            and cell in (None, row.cell)
            and all(value(row, f.name) is not None and OPERATORS[f.op](value(row, f.name), f.value) for f in filters)
        ]
        expected = expected if sort is None else in_order(expected, sort)
        found = collect(filled, filters=filters, sort=sort, state=state, phase=phase, cell=cell, limit=9)
        assert [row.key for row in found] == [row.key for row in expected]

    check()


def test_a_prefix_says_which_of_two_is_meant(ledger, finish):
    """A metric or parameter that shares its name with something else is reached by its kind, and only by that."""
    for seed in range(6):
        finish(ledger, seed, metrics={"signals": float(10 - seed), "lr": float(seed), "all_psnr": 1.0})
    seeds = lambda **options: [row.seed for row in ledger.trials.page("digits", **options).rows]  # noqa: E731
    assert seeds(sort="metrics.signals") == [5, 4, 3, 2, 1, 0]
    assert seeds(filters=[Filter("metrics.signals", ">", 8)]) == [0, 1]
    assert seeds(filters=[Filter("signals", "=", "digits8")]) == list(range(6))
    assert seeds(filters=[Filter("metrics.lr", ">=", 4)]) == [4, 5]
    assert seeds(filters=[Filter("lr", ">=", 4)]) == seeds(filters=[Filter("parameters.lr", ">=", 4)]) == []
    assert ledger.trials.columns("digits", ["signals", "metrics.signals"])["metrics.signals"] == [10, 9, 8, 7, 6, 5]
    for absent in ("metrics.steps", "parameters.all_psnr", "metrics.", "metric.signals"):
        with pytest.raises(BadConfig, match="has"):
            seeds(sort=absent)


def test_later_rows_do_not_shift_a_cursor(filled, finish):
    """Rows added between two pages neither repeat nor hide a row that was there."""
    before = [row.key for row in filled.trials.page("digits", sort="-val_accuracy", limit=None).rows]
    page = filled.trials.page("digits", sort="-val_accuracy", limit=10)
    finish(filled, 99, metrics={"val_accuracy": 2.0})
    rest = collect_after(filled, page.cursor)
    assert [row.key for row in page.rows] + rest == before


def collect_after(ledger, cursor):
    keys = []
    while cursor is not None:
        page = ledger.trials.page("digits", sort="-val_accuracy", limit=10, cursor=cursor)
        keys += [row.key for row in page.rows]
        cursor = page.cursor
    return keys


def test_narrowing_by_phase_cell_and_state(filled):
    """Phase, cell and state narrow alike."""
    every = filled.trials.page("digits", limit=None).rows
    found = filled.trials.page("digits", phase="phase1", cell="digits8/mfn", state=TrialState.COMPLETE, limit=None).rows
    assert found == tuple(
        row for row in every if (row.phase, row.cell, row.state) == ("phase1", "digits8/mfn", TrialState.COMPLETE)
    )
    assert 0 < len(found) < len(every)
    assert filled.trials.page("other").rows == ()


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("val_accuracy>=0.8", Filter("val_accuracy", ">=", "0.8")),
        ("init = shared", Filter("init", "=", "shared")),
        ("omega_0<30", Filter("omega_0", "<", "30")),
        ("cause!=oom", Filter("cause", "!=", "oom")),
    ],
)
def test_filters_are_read_from_text(text, parsed):
    """A filter is `name op value`, blanks allowed."""
    assert Filter.parse(text) == parsed


def test_text_is_read_as_the_kind_of_its_column(filled):
    """Numbers, words and truth values compare as what the column holds."""
    for text in ("steps=75", "lr=0.001", "reused=false", "field=mfn", "key!=0"):
        assert filled.trials.page("digits", filters=[Filter.parse(text)]).rows, text
    assert filled.trials.page("digits", filters=[Filter.parse("reused=true")]).rows == ()


def test_nonsense_is_named(filled):
    """An unknown name, a value of the wrong kind, a foreign cursor or limit is a BadConfig that says so."""
    for options, message in (
        ({"sort": "psnr"}, "has 'psnr'; allowed: phase, key"),
        ({"filters": [Filter("psnr", ">", 1)]}, "has 'psnr'"),
        ({"filters": [Filter("steps", ">", "many")]}, "'many' is not a number"),
        ({"filters": [Filter("all_psnr", ">", "high")]}, "'high' is not a number"),
        ({"filters": [Filter("reused", "=", "maybe")]}, "'maybe' is not true or false"),
        ({"cursor": "nonsense"}, "was not given by this ledger"),
        ({"cursor": "é"}, "was not given by this ledger"),
        ({"cursor": "W10"}, "was not given by this ledger"),
        ({"cursor": "W1tdLG51bGwsMV0"}, "belongs to another query"),
        ({"cursor": "NQ"}, "was not given by this ledger"),
        ({"cursor": "Ww" * 5000}, "was not given by this ledger"),
        ({"limit": 0}, "limit 0 is not 1 or more"),
        ({"filters": [Filter("cell", "=", "a\ud800")]}, "cannot be held"),
        ({"filters": [Filter("steps", "=", "nan")], "sort": ""}, "has ''"),
    ):
        with pytest.raises(BadConfig, match=message):
            filled.trials.page("digits", **options)


@pytest.mark.parametrize("text", ["", "val_accuracy", "=1", "a=", "a~1", "a;b=1", "1a=2"])
def test_filter_text_without_sense_is_refused(text):
    """Text that is not a filter is refused with an example."""
    with pytest.raises(BadConfig, match="val_accuracy>=0"):
        Filter.parse(text)


def test_forged_cursor_is_answered_or_refused(filled):
    """A cursor changed by hand gives some page or a BadConfig, whatever it was changed to."""
    values = ["text", True, -1, 1e300, 10**30, "a\0b", "\ud800", None, {}, [1]]
    for sort in ("-val_accuracy", "cell", "reused", "steps"):
        real = filled.trials.page("digits", sort=sort, limit=3).cursor
        signature = json.loads(base64.urlsafe_b64decode(real + "=="))[0]
        for value, number in itertools.product(values, [-1, 0, 10**30, "1"]):
            forged = base64.urlsafe_b64encode(json.dumps([signature, value, number]).encode()).decode()
            with suppress(BadConfig):
                assert len(filled.trials.page("digits", sort=sort, limit=3, cursor=forged).rows) <= 3


def test_cursor_belongs_to_its_query(filled):
    """A cursor of one query does not continue another."""
    cursor = filled.trials.page("digits", sort="seed", limit=3).cursor
    with pytest.raises(BadConfig, match="another query"):
        filled.trials.page("digits", sort="-seed", limit=3, cursor=cursor)
