"""Commands: each reaches the driver until it is settled, and is given once however often it is sent."""


def test_commands_come_until_settled(ledger):
    """The driver sees unsettled commands in order, again and again."""
    first = ledger.append_command("digits", "pause")
    second = ledger.append_command("digits", "enqueue", body={"lr": 0.001})
    assert ledger.take_commands("digits") == [first, second]
    assert ledger.take_commands("digits") == [first, second]
    ledger.settle_command(first.id, outcome="paused")
    assert ledger.take_commands("digits") == [second]
    assert ledger.take_commands("other") == []
    (latest, settled) = ledger.commands("digits")
    assert latest == second
    assert (settled.id, settled.outcome) == (first.id, "paused")
    assert settled.settled_at >= settled.created_at


def test_first_outcome_stands(ledger):
    """Settling twice keeps the first outcome."""
    command = ledger.append_command("digits", "stop")
    ledger.settle_command(command.id, outcome="stopped")
    ledger.settle_command(command.id, outcome="again")
    assert ledger.commands("digits")[0].outcome == "stopped"


def test_same_idempotency_key_is_the_same_command(ledger):
    """A command sent twice with one key is one command, with the first body; another key is another."""
    first = ledger.append_command("digits", "enqueue", body={"lr": 1}, idempotency_key="abc")
    assert ledger.append_command("digits", "enqueue", body={"lr": 2}, idempotency_key="abc") == first
    assert ledger.append_command("digits", "enqueue", body={"lr": 2}, idempotency_key="abd").id != first.id
    assert len(ledger.take_commands("digits")) == 2
