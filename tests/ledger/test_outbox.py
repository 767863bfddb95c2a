"""Tests of the outbox, which holds every result until it is exported."""

from .records import as_record


def test_result_waits_until_it_is_marked(ledger, finish):
    """A result is in the outbox exactly once until it is marked as exported."""
    finish(ledger, 1)
    finish(ledger, 2)
    entries = ledger.outbox.pending()
    assert ledger.outbox.size() == len(entries) == 2
    ledger.outbox.mark_exported(entries[:1])
    assert ledger.outbox.pending() == entries[1:]


def test_taking_counts_a_try(ledger, finish):
    """Each time an entry is taken for export, its number of tries increases by one.

    Entries with fewer tries are taken first.
    """
    finish(ledger, 1)
    finish(ledger, 2)
    (first,) = ledger.outbox.take(1)
    assert first.tries == 0
    assert [entry.id for entry in ledger.outbox.pending()][-1] == first.id
    assert [entry.tries for entry in ledger.outbox.take(2)] == [0, 1]
    assert [entry.id for entry in ledger.outbox.take(2, skip=[first.id])] != [first.id]


def test_failing_entry_runs_out_of_tries(ledger, finish):
    """An outbox entry that has run out of tries is not taken for export until the outbox is refilled."""
    finish(ledger, 1)
    for _ in range(10):
        for entry in ledger.outbox.take(1):
            ledger.outbox.mark_failed(entry, error="refused")
    assert ledger.outbox.take(1) == []
    assert [entry.error for entry in ledger.outbox.pending()] == ["refused"]
    assert ledger.outbox.size() == 1
    assert ledger.outbox.refill() == 1
    assert len(ledger.outbox.take(1)) == 1


def test_changed_trial_stays_in_the_outbox(ledger, trial, finish):
    """If an earlier attempt of a trial is marked as exported, the trial's new result stays in the outbox."""
    made = trial()
    token = ledger.trials.request("digits", "phase1", record=as_record(made))
    ledger.trials.fail("digits", "phase1", key=made.key, token=token, cause="oom", error="")
    stale = ledger.outbox.take(1)
    finish(ledger, 0)
    ledger.outbox.mark_exported(stale)
    (entry,) = ledger.outbox.pending()
    assert (entry.key, entry.attempt, entry.tries) == (made.key, 2, 1)


def test_refill_queues_terminal_trials(ledger, trial, finish):
    """Refilling the outbox queues every terminal trial of one study or of all studies.

    Open trials are not queued.
    """
    finish(ledger, 1)
    ledger.studies.put("other", {}, cells={})
    finish(ledger, 2, study="other")
    ledger.trials.request("digits", "phase1", record=as_record(trial(3)))
    ledger.outbox.mark_exported(ledger.outbox.pending())
    assert ledger.outbox.size() == 0
    assert ledger.outbox.refill("other") == 1
    assert [entry.study for entry in ledger.outbox.pending()] == ["other"]
    assert ledger.outbox.refill() == 2
    assert ledger.outbox.size() == 2
