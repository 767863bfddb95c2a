"""Verbs append commands, once each, and only for those with the token."""

import pytest

from nefstudy.ledger import Ledger

from .conftest import STUDY, TOKEN

VERBS = ("pause", "resume", "stop")


@pytest.fixture
def control(ledger: Ledger, client_of):
    """A client that holds the token, over a writable ledger with an empty study."""
    ledger.studies.put(STUDY, {}, cells={})
    return client_of(ledger, token=TOKEN, sent=TOKEN)


def ask(client, verb: str, *, key: str = "0123456789", study: str = STUDY, **options):
    """The answer to a verb."""
    return client.post(f"/v1/studies/{study}:{verb}", headers={"Idempotency-Key": key}, **options)


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_becomes_a_command(control, ledger, verb):
    """202, one command in the ledger, listed as not yet obeyed."""
    answer = ask(control, verb)
    assert answer.status_code == 202
    assert [(c.verb, c.settled_at) for c in ledger.commands.unsettled(STUDY)] == [(verb, None)]
    (listed,) = control.get(f"/v1/studies/{STUDY}/commands").json()["commands"]
    assert listed == answer.json()


def test_the_same_wish_is_obeyed_once(control, ledger):
    """Sent twice with one key it is one command; with another key it is two."""
    assert ask(control, "pause", key="first-wish").json() == ask(control, "pause", key="first-wish").json()
    assert len(ledger.commands.unsettled(STUDY)) == 1
    ask(control, "pause", key="second-wish")
    assert len(ledger.commands.unsettled(STUDY)) == 2


def test_a_key_is_not_reused_for_another_wish(control, ledger):
    """One key for two wishes is a conflict, and only the first is kept."""
    ask(control, "pause", key="only-one-wish")
    assert ask(control, "stop", key="only-one-wish").status_code == 409
    assert [command.verb for command in ledger.commands.unsettled(STUDY)] == ["pause"]


def test_a_trial_can_be_enqueued(control, ledger):
    """The body reaches the driver as it was sent."""
    body = {"phase": "phase1", "cell": "digits8/siren", "point": {"steps": 20, "lr": 1e-3}}
    assert ask(control, "enqueue", json=body).status_code == 202
    assert ledger.commands.unsettled(STUDY)[0].body == body


def test_a_trial_can_be_withdrawn(control, ledger):
    """Its key reaches the driver; what is no key is refused and leaves no command."""
    assert ask(control, "withdraw", params={"key": "ab12"}).status_code == 202
    (command,) = ledger.commands.unsettled(STUDY)
    assert (command.verb, command.body) == ("withdraw", {"key": "ab12"})
    for params in ({}, {"key": ""}, {"key": "../x"}, {"key": "a" * 65}):
        assert ask(control, "withdraw", key="another-wish", params=params).status_code == 422
    assert len(ledger.commands.unsettled(STUDY)) == 1


def test_an_enqueue_of_a_cell_that_the_study_lacks_is_refused_at_once(control, ledger):
    """422 names the study's cells; no command is left for a driver to refuse."""
    ledger.studies.put(
        STUDY, {"seed": 0, "cells": [{"phase": "phase2", "cell": "digits8/siren"}], "keep": "all"}, cells={}
    )
    point = {"init": "shared", "steps": 1}
    assert ask(control, "enqueue", json={"cell": "digits8/siren", "point": point}).status_code == 202
    for wrong in ({"cell": "digits8/mfn"}, {"phase": "phase1", "cell": "digits8/siren"}, {"cell": [1]}, {"phase": {}}):
        answer = ask(control, "enqueue", key="another-wish", json=wrong | {"point": point})
        assert 400 <= answer.status_code < 500
        assert "it has phase2 digits8/siren" in answer.json()["detail"]
    assert len(ledger.commands.unsettled(STUDY)) == 1


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"{", b'"text"', b"\xff"])
def test_an_enqueue_without_a_point_is_refused(control, ledger, body):
    """A body that names nothing is 422 and leaves no command."""
    headers = {"Idempotency-Key": "0123456789", "Content-Type": "application/json"}
    assert control.post(f"/v1/studies/{STUDY}:enqueue", content=body, headers=headers).status_code in (400, 422)
    assert ledger.commands.unsettled(STUDY) == []


@pytest.mark.parametrize(
    "body", [rb'{"phase": "\ud800"}', rb'{"\udfff": 1}', rb'{"point": {"lr": NaN}}', rb'{"point": [1e999]}']
)
def test_an_enqueue_that_cannot_be_written_down_again_is_refused(control, ledger, body):
    """Half of a surrogate pair, NaN, infinity: 422 and nothing in the ledger, where listing it would have failed."""
    headers = {"Idempotency-Key": "0123456789", "Content-Type": "application/json"}
    answer = control.post(f"/v1/studies/{STUDY}:enqueue", content=body, headers=headers)
    assert answer.status_code == 422
    assert ledger.commands.unsettled(STUDY) == []
    assert control.get(f"/v1/studies/{STUDY}/commands").json()["commands"] == []


def test_failed_trials_are_put_back_and_a_limit_is_set(control, ledger):
    """What the command line may ask of a driver, the holder of the token may: the same bodies."""
    path = f"/v1/studies/{STUDY}"
    keys = iter(f"wish-{number:04}" for number in range(9))
    for query in (":retry", ":retry?cause=oom", ":concurrency?trials=3"):
        assert control.post(path + query, headers={"Idempotency-Key": next(keys)}).status_code == 202
    assert [command.body for command in ledger.commands.unsettled(STUDY)] == [{}, {"cause": "oom"}, {"trials": 3}]
    for query in (":retry?cause=A B", ":concurrency", ":concurrency?trials=0", ":concurrency?trials=many"):
        assert control.post(path + query, headers={"Idempotency-Key": next(keys)}).status_code == 422


def test_without_a_key_or_a_study_nothing_is_asked(control, ledger):
    """A missing key is 422, an unknown study 404, an unknown verb refused."""
    assert control.post(f"/v1/studies/{STUDY}:pause").status_code == 422
    assert ask(control, "pause", study="none").status_code == 404
    assert ask(control, "explode").status_code in (404, 405)
    assert ledger.commands.unsettled(STUDY) == []


def test_without_a_token_the_service_only_reads(ledger, client_of):
    """A service that asks nobody who they are lets nobody change anything."""
    ledger.studies.put(STUDY, {}, cells={})
    answer = ask(client_of(ledger), "pause")
    assert answer.status_code == 403
    assert ledger.commands.unsettled(STUDY) == []


def test_a_read_only_ledger_is_not_controlled(filled, client_of):
    """With the token but a ledger opened for reading, verbs are refused and not lost in a 500."""
    assert ask(client_of(filled[0], token=TOKEN, sent=TOKEN), "pause").status_code == 403
