"""Tests of the control verbs, which are POST requests that append commands for the driver.

Each idempotency key appends one command, and only if the client sends the token.
"""

from typing import Any

import pytest
from fastapi.routing import APIRoute

from nefstudy.ledger import Ledger
from nefstudy.service.routes.control import router

from ..client import TOKEN
from ..small_study import STUDY

VERBS = ("pause", "resume", "stop")
POINT = {"phase": "phase1", "cell": "digits8/siren", "point": {"steps": 20}}
REQUESTS: dict[str, dict[str, Any]] = {
    **{verb: {} for verb in (*VERBS, "retry")},
    "enqueue": {"json": POINT},
    "withdraw": {"params": {"key": "ab12"}},
    "concurrency": {"params": {"trials": 3}},
}
"""A valid request of every verb."""


@pytest.fixture
def control(ledger: Ledger, client_of):
    """Return a client that sends the token to a service on a writable ledger with an empty study."""
    ledger.studies.put(STUDY, {}, cells={})
    return client_of(ledger, token=TOKEN, sent=TOKEN)


def post(client, verb: str, *, key: str = "0123456789", study: str = STUDY, **options):
    """Send a control verb in a POST request; return the response."""
    return client.post(f"/v1/studies/{study}:{verb}", headers={"Idempotency-Key": key}, **options)


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_becomes_a_command(control, ledger, verb):
    """A request with a control verb gets 202 and appends one command.

    The command is listed as unsettled.
    """
    response = post(control, verb)
    assert response.status_code == 202
    assert [(c.verb, c.settled_at) for c in ledger.commands.unsettled(STUDY)] == [(verb, None)]
    (listed,) = control.get(f"/v1/studies/{STUDY}/commands").json()["commands"]
    assert listed == response.json()


def test_a_repeated_key_appends_one_command(control, ledger):
    """Sending a request twice with the same idempotency key appends only one command.

    Sending it with another key appends a second command.
    """
    assert post(control, "pause", key="first-key").json() == post(control, "pause", key="first-key").json()
    assert len(ledger.commands.unsettled(STUDY)) == 1
    post(control, "pause", key="second-key")
    assert len(ledger.commands.unsettled(STUDY)) == 2


def test_a_key_is_not_reused_for_another_command(control, ledger):
    """A second, different command with the same idempotency key gets 409.

    Only the first command is stored.
    """
    post(control, "pause", key="only-one-key")
    assert post(control, "stop", key="only-one-key").status_code == 409
    assert [command.verb for command in ledger.commands.unsettled(STUDY)] == ["pause"]


def test_a_trial_can_be_enqueued(control, ledger):
    """The body of an `enqueue` request reaches the driver unchanged."""
    body = {"phase": "phase1", "cell": "digits8/siren", "point": {"steps": 20, "lr": 1e-3}}
    assert post(control, "enqueue", json=body).status_code == 202
    assert ledger.commands.unsettled(STUDY)[0].body == body


def test_a_trial_can_be_withdrawn(control, ledger):
    """A `withdraw` request passes the trial's key to the driver.

    A malformed key gets 422 and appends no command.
    """
    assert post(control, "withdraw", params={"key": "ab12"}).status_code == 202
    (command,) = ledger.commands.unsettled(STUDY)
    assert (command.verb, command.body) == ("withdraw", {"key": "ab12"})
    for params in ({}, {"key": ""}, {"key": "../x"}, {"key": "a" * 65}):
        assert post(control, "withdraw", key="another-key", params=params).status_code == 422
    assert len(ledger.commands.unsettled(STUDY)) == 1


def test_an_enqueue_of_an_unknown_cell_is_rejected_at_once(control, ledger):
    """If an `enqueue` request names an unknown cell, the error lists the study's cells.

    No command is appended.
    """
    ledger.studies.put(
        STUDY, {"seed": 0, "cells": [{"phase": "phase2", "cell": "digits8/siren"}], "keep": "all"}, cells={}
    )
    point = {"init": "shared", "steps": 1}
    assert post(control, "enqueue", json={"cell": "digits8/siren", "point": point}).status_code == 202
    bodies: list[dict[str, Any]]
    bodies = [{"cell": "digits8/mfn"}, {"phase": "phase1", "cell": "digits8/siren"}, {"cell": [1]}, {"phase": {}}]
    for wrong in bodies:
        response = post(control, "enqueue", key="another-key", json=wrong | {"point": point})
        assert 400 <= response.status_code < 500
        assert "use one of phase2 digits8/siren" in response.json()["detail"]
    assert len(ledger.commands.unsettled(STUDY)) == 1


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"{", b'"text"', b"\xff"])
def test_an_enqueue_without_a_point_is_rejected(control, ledger, body):
    """An `enqueue` request with an empty or malformed body gets 400 or 422 and appends no command."""
    headers = {"Idempotency-Key": "0123456789", "Content-Type": "application/json"}
    assert control.post(f"/v1/studies/{STUDY}:enqueue", content=body, headers=headers).status_code in (400, 422)
    assert ledger.commands.unsettled(STUDY) == []


@pytest.mark.parametrize(
    "body", [rb'{"phase": "\ud800"}', rb'{"\udfff": 1}', rb'{"point": {"lr": NaN}}', rb'{"point": [1e999]}']
)
def test_an_enqueue_that_cannot_be_encoded_again_is_rejected(control, ledger, body):
    """A body with lone surrogates, NaN or infinity gets 422 and is not stored.

    If it were stored, listing the commands would fail.
    """
    headers = {"Idempotency-Key": "0123456789", "Content-Type": "application/json"}
    response = control.post(f"/v1/studies/{STUDY}:enqueue", content=body, headers=headers)
    assert response.status_code == 422
    assert ledger.commands.unsettled(STUDY) == []
    assert control.get(f"/v1/studies/{STUDY}/commands").json()["commands"] == []


def test_failed_trials_are_retried_and_a_limit_is_set(control, ledger):
    """The verbs `retry` and `concurrency` append the same command bodies as the command line.

    Invalid values get 422.
    """
    path = f"/v1/studies/{STUDY}"
    keys = iter(f"key-{number:05}" for number in range(9))
    for query in (":retry", ":retry?cause=oom", ":concurrency?trials=3"):
        assert control.post(path + query, headers={"Idempotency-Key": next(keys)}).status_code == 202
    assert [command.body for command in ledger.commands.unsettled(STUDY)] == [{}, {"cause": "oom"}, {"trials": 3}]
    for query in (":retry?cause=A B", ":concurrency", ":concurrency?trials=0", ":concurrency?trials=many"):
        assert control.post(path + query, headers={"Idempotency-Key": next(keys)}).status_code == 422


def test_without_a_key_or_a_study_no_command_is_appended(control, ledger):
    """A request that lacks an idempotency key, or names an unknown study or verb, appends no command.

    The status is 422 for the missing key, 404 for the study, and 404 or 405 for the verb.
    """
    assert control.post(f"/v1/studies/{STUDY}:pause").status_code == 422
    assert post(control, "pause", study="none").status_code == 404
    assert post(control, "explode").status_code in (404, 405)
    assert ledger.commands.unsettled(STUDY) == []


def test_the_requests_cover_every_verb():
    """`REQUESTS` contains a request for every route that changes something."""
    routes = [route for route in router.routes if isinstance(route, APIRoute) and route.methods != {"GET"}]
    assert sorted(route.path for route in routes) == sorted(f"/v1/studies/{{study}}:{verb}" for verb in REQUESTS)


@pytest.mark.parametrize("verb", REQUESTS)
def test_without_a_token_the_service_is_read_only(ledger, client_of, verb):
    """A service without a token rejects every command.

    A service with a token accepts the same command from a client that sends the token.
    """
    ledger.studies.put(STUDY, {}, cells={})
    assert post(client_of(ledger), verb, **REQUESTS[verb]).status_code == 403
    assert post(client_of(ledger, sent=TOKEN), verb, **REQUESTS[verb]).status_code == 403
    assert post(client_of(ledger, token=TOKEN), verb, **REQUESTS[verb]).status_code == 401
    assert ledger.commands.unsettled(STUDY) == []
    assert post(client_of(ledger, token=TOKEN, sent=TOKEN), verb, **REQUESTS[verb]).status_code == 202
    assert [command.verb for command in ledger.commands.unsettled(STUDY)] == [verb]


@pytest.mark.parametrize("verb", REQUESTS)
def test_a_read_only_ledger_is_not_controlled(filled, client_of, verb):
    """If the ledger is read-only, every verb gets 403, even with the token."""
    assert post(client_of(filled[0], token=TOKEN, sent=TOKEN), verb, **REQUESTS[verb]).status_code == 403
