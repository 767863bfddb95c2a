"""Tests of pages of trials, compared with filtering and sorting a list of all trials in Python."""

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

from ..records import as_record

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
    """Return a ledger with forty trials in several states, some with equal, missing or NaN metrics."""
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
    """Return the column, parameter or metric of a row that `name` refers to, or None if it is missing or NaN."""
    measured = {**row.metrics, **row.parameters}
    result = getattr(row, name, measured.get(name))
    return None if isinstance(result, float) and math.isnan(result) else result


def collect(ledger, *, limit, **options):
    """Return all rows of a query, read page by page."""
    rows, cursor = [], None
    while True:
        page = ledger.trials.page("digits", limit=limit, cursor=cursor, **options)
        assert len(page.rows) <= limit
        rows += page.rows
        if page.cursor is None:
            return rows
        cursor = page.cursor


def in_order(rows, sort):
    """Return the rows sorted by `sort`; rows without a value to sort by come last, in their original order."""
    name, down = sort.removeprefix("-"), sort.startswith("-")
    valued = [row for row in rows if value(row, name) is not None]
    if down:
        valued.reverse()
    valued.sort(key=lambda row: value(row, name), reverse=down)
    return valued + [row for row in rows if value(row, name) is None]


def test_pages_hold_every_trial_once_in_order(filled):
    """For any sort order and page size, the concatenated pages equal the sorted list of all trials.

    Trials that lack the sort value come last.
    """
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
    """A query with filters and a sort returns the same rows as filtering and sorting the whole list."""
    every = filled.trials.page("digits", limit=None).rows
    pools = {name: sorted({value(row, name) for row in every} - {None}) for name in NAMES}

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def check(data):
        names = data.draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=3))
        filters = []
        for name in names:
            ops = ["=", "!="] if name == "reused" else list(OPERATORS)
            op, operand = data.draw(st.sampled_from(ops)), data.draw(st.sampled_from(pools[name]))
            filters.append(Filter(name, op, operand))
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


def test_a_prefix_selects_metric_or_parameter(ledger, finish):
    """A name with the prefix `metrics.` or `parameters.` refers only to a metric or only to a parameter."""
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
        with pytest.raises(BadConfig, match=f"'{absent}'"):
            seeds(sort=absent)


def test_later_rows_do_not_shift_a_cursor(filled, finish):
    """If a trial is added between reading two pages, existing trials are neither repeated nor skipped."""
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


def test_selection_by_phase_cell_and_state(filled):
    """Phase, cell and state restrict a page to the matching rows."""
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
    """A filter is written as `name op value`, with optional spaces."""
    assert Filter.parse(text) == parsed


def test_text_is_converted_to_the_type_of_its_column(filled):
    """A filter's value is parsed as a number, text or Boolean, depending on the type of its column."""
    for text in ("steps=75", "lr=0.001", "reused=false", "field=mfn", "key!=0"):
        assert filled.trials.page("digits", filters=[Filter.parse(text)]).rows, text
    assert filled.trials.page("digits", filters=[Filter.parse("reused=true")]).rows == ()


def test_invalid_values_are_named(filled):
    """An invalid name, value, cursor or limit raises BadConfig, and the message identifies it."""
    for options, message in (
        ({"sort": "psnr"}, "has 'psnr'; allowed: phase, key"),
        ({"filters": [Filter("psnr", ">", 1)]}, "'psnr'"),
        ({"filters": [Filter("steps", ">", "many")]}, "'many'.*number"),
        ({"filters": [Filter("all_psnr", ">", "high")]}, "'high'.*number"),
        ({"filters": [Filter("reused", "=", "maybe")]}, "'maybe'.*true or false"),
        ({"cursor": "nonsense"}, "a cursor"),
        ({"cursor": "é"}, "a cursor"),
        ({"cursor": "W10"}, "a cursor"),
        ({"cursor": "W1tdLG51bGwsMV0"}, "another query"),
        ({"cursor": "NQ"}, "a cursor"),
        ({"cursor": "Ww" * 5000}, "a cursor"),
        ({"limit": 0}, "limit 0 .*1"),
        ({"filters": [Filter("cell", "=", "a\ud800")]}, "store"),
        ({"filters": [Filter("steps", "=", "nan")], "sort": ""}, "''"),
    ):
        with pytest.raises(BadConfig, match=message):
            filled.trials.page("digits", **options)


@pytest.mark.parametrize("text", ["", "val_accuracy", "=1", "a=", "a~1", "a;b=1", "1a=2"])
def test_invalid_filter_text_is_refused(text):
    """Text that is not a filter raises BadConfig with an example of a filter."""
    with pytest.raises(BadConfig, match="val_accuracy>=0"):
        Filter.parse(text)


def test_manipulated_cursor_is_accepted_or_refused(filled):
    """A manipulated cursor either returns a page or raises BadConfig."""
    values = ["text", True, -1, 1e300, 10**30, "a\0b", "\ud800", None, {}, [1]]
    for sort in ("-val_accuracy", "cell", "reused", "steps"):
        real = filled.trials.page("digits", sort=sort, limit=3).cursor
        signature = json.loads(base64.urlsafe_b64decode(real + "=="))[0]
        for value, number in itertools.product(values, [-1, 0, 10**30, "1"]):
            forged = base64.urlsafe_b64encode(json.dumps([signature, value, number]).encode()).decode()
            with suppress(BadConfig):
                assert len(filled.trials.page("digits", sort=sort, limit=3, cursor=forged).rows) <= 3


def test_cursor_belongs_to_its_query(filled):
    """A cursor is valid only for the query that returned it."""
    cursor = filled.trials.page("digits", sort="seed", limit=3).cursor
    with pytest.raises(BadConfig, match="another query"):
        filled.trials.page("digits", sort="-seed", limit=3, cursor=cursor)
