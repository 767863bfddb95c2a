"""Commands: each reaches the driver until it is settled, and is given once however often it is sent."""


def test_commands_come_until_settled(ledger):
    """The driver sees unsettled commands in order, again and again."""
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


def test_first_outcome_stands(ledger):
    """Settling twice keeps the first outcome."""
    command = ledger.commands.append("digits", "stop")
    ledger.commands.settle(command.id, outcome="stopped")
    ledger.commands.settle(command.id, outcome="again")
    assert ledger.commands.latest("digits")[0].outcome == "stopped"


def test_same_idempotency_key_is_the_same_command(ledger):
    """A command sent twice with one key is one command, with the first body; another key is another."""
    first = ledger.commands.append("digits", "enqueue", body={"lr": 1}, idempotency_key="abc")
    assert ledger.commands.append("digits", "enqueue", body={"lr": 2}, idempotency_key="abc") == first
    assert ledger.commands.append("digits", "enqueue", body={"lr": 2}, idempotency_key="abd").id != first.id
    assert len(ledger.commands.unsettled("digits")) == 2
