"""Tests of commands to the driver: each is returned until it is settled, and stored once per idempotency key."""


def test_commands_are_returned_until_settled(ledger):
    """Every query returns all unsettled commands in the order in which they were added."""
    first = ledger.commands.append("digits", "pause")
    second = ledger.commands.append("digits", "enqueue", body={"lr": 0.001})
    assert ledger.commands.unsettled("digits") == [first, second]
    assert ledger.commands.unsettled("digits") == [first, second]
    ledger.commands.settle(first.id, outcome="paused")
    assert ledger.commands.unsettled("digits") == [second]
    assert ledger.commands.unsettled("other") == []
    (latest, settled) = ledger.commands.latest("digits")
    assert latest == second
    assert (settled.id, settled.outcome) == (first.id, "paused")
    assert settled.settled_at >= settled.created_at


def test_first_outcome_is_kept(ledger):
    """A command that is settled twice keeps its first outcome."""
    command = ledger.commands.append("digits", "stop")
    ledger.commands.settle(command.id, outcome="stopped")
    ledger.commands.settle(command.id, outcome="again")
    assert ledger.commands.latest("digits")[0].outcome == "stopped"


def test_same_idempotency_key_is_the_same_command(ledger):
    """Adding a command with a known idempotency key returns the existing command unchanged.

    A different key creates a new command.
    """
    first = ledger.commands.append("digits", "enqueue", body={"lr": 1}, idempotency_key="abc")
    assert ledger.commands.append("digits", "enqueue", body={"lr": 2}, idempotency_key="abc") == first
    assert ledger.commands.append("digits", "enqueue", body={"lr": 2}, idempotency_key="abd").id != first.id
    assert len(ledger.commands.unsettled("digits")) == 2
