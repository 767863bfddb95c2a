"""Tests of events: a follower sees every event of one study, or of all studies, once and in order."""

import threading

from nefstudy.ledger import Owner

from .records import as_cells, as_record


def test_followers_see_every_event_once(ledger, finish):
    """A follower that asks for the events after the last one it has received gets every event once, in order."""
    for seed in range(4):
        finish(ledger, seed)
    every = ledger.events.since(0)
    assert [event.seq for event in every] == sorted({event.seq for event in every})
    followed, last = [], 0
    while batch := ledger.events.since(last, limit=3):
        followed += batch
        last = batch[-1].seq
    assert followed == every
    assert ledger.events.last_seq() == every[-1].seq


def test_events_belong_to_their_study(ledger):
    """The events of a study contain no events of other studies."""
    ledger.studies.put("other", {}, cells={})
    seq = ledger.events.append("other", "note", data={"text": "hello"})
    (created, note) = ledger.events.since(0, study="other")
    assert (created.kind, note.kind, note.seq, note.data) == ("study", "note", seq, {"text": "hello"})
    assert ledger.events.last_seq("other") == seq
    assert ledger.events.last_seq("digits") < seq
    assert ledger.events.last_seq("nothing") == 0


def test_every_change_of_a_study_is_an_event(ledger, trial):
    """Every change of a study increases the number of its last event.

    Responses about the study can therefore be cached until that number changes.
    """
    ledger.studies.put("other", {}, cells={})
    made = trial(1)
    lease = ledger.leases.acquire("digits", Owner.current())
    token = ledger.trials.request("digits", "phase1", record=as_record(made))
    command = ledger.commands.append("digits", "pause")
    before, elsewhere = ledger.events.last_seq("digits"), ledger.events.last_seq("other")
    for change in (
        lambda: ledger.studies.put("digits", {}, cells=as_cells({("phase1", "digits8/mfn"): 9})),
        lambda: ledger.studies.set_state("digits", "paused"),
        lambda: ledger.commands.settle(command.id, outcome="paused"),
        lambda: ledger.trials.start("digits", "phase1", key=made.key, token=token),
        lambda: ledger.trials.interrupt("digits"),
        lambda: ledger.trials.request("digits", "phase1", record=as_record(made)),
        lambda: ledger.trials.fail("digits", "phase1", key=made.key, token=token + 1, cause="bug", error=""),
        lambda: ledger.leases.release(lease),
    ):
        change()
        assert ledger.events.last_seq("digits") > before
        before = ledger.events.last_seq("digits")
    assert ledger.events.last_seq("other") == elsewhere


def test_no_event_appears_with_a_lower_number(ledger):
    """If several writers add events at the same time, the events become visible in the order of their numbers."""
    seen: list[int] = []
    stop = threading.Event()

    def follow() -> None:
        while not stop.is_set():
            seen.extend(event.seq for event in ledger.events.since(seen[-1] if seen else 0, study="digits"))

    def write() -> None:
        for _ in range(15):
            ledger.events.append("digits", "note")

    follower = threading.Thread(target=follow)
    writers = [threading.Thread(target=write) for _ in range(3)]
    follower.start()
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    stop.set()
    follower.join()
    seen.extend(event.seq for event in ledger.events.since(seen[-1] if seen else 0, study="digits"))
    assert seen == [event.seq for event in ledger.events.since(0, study="digits")]
