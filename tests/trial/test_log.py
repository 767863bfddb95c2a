"""Tests of a trial's log: it contains only the records of the trial and stays within its size limit."""

import logging
import warnings

import pytest

from nefstudy.errors import BadRoot
from nefstudy.paths import log_path
from nefstudy.trial import log as trial_log
from nefstudy.trial.log import captured_log, read_log

own = logging.getLogger("nefstudy.mine")
foreign = logging.getLogger("other.package")


@pytest.fixture(params=["directory", "uri"])
def root(request, tmp_path):
    """Return a root: either a directory, or the URI of a store that accepts only whole files."""
    return str(tmp_path) if request.param == "directory" else f"mock://{tmp_path}"


@pytest.fixture(autouse=True)
def remote(monkeypatch, tmp_path):
    """Make storage treat a root that begins with mock:// as remote."""
    from nefstudy.storage import Storage

    class Remote(Storage):
        is_local = False

    def at(root):
        storage = Storage.at(root.removeprefix("mock://"))
        return Remote(storage.root, storage.filesystem, storage.base) if root.startswith("mock://") else storage

    monkeypatch.setattr(trial_log, "Storage", type("StorageStub", (), {"at": staticmethod(at)}))


def test_records_of_the_trial_are_captured(root):
    """A trial's log records the messages of nefstudy, and the warnings of Python and of other libraries.

    Messages of nefstudy are recorded from INFO on. Nothing is recorded before or after the trial.
    """
    own.warning("before")
    with captured_log(root, "k"):
        own.info("epoch %d", 1)
        foreign.info("chatter")
        foreign.warning("careful")
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("deprecated thing", stacklevel=1)
    own.warning("after")
    text = "\n".join(read_log(root, "k"))
    for expected in ("nefstudy.mine: epoch 1", "careful", "deprecated thing"):
        assert expected in text
    for unexpected in ("before", "after", "chatter"):
        assert unexpected not in text


def test_attempts_follow_each_other_in_one_log(root):
    """A second attempt appends to the log of the first attempt.

    Two trials have separate logs.
    """
    for attempt in (1, 2):
        with captured_log(root, "k"):
            own.info("attempt %d", attempt)
    with captured_log(root, "other"):
        own.info("alone")
    assert [line[-9:] for line in read_log(root, "k")] == ["attempt 1", "attempt 2"]
    assert read_log(root, "k", lines=1)[0].endswith("attempt 2")
    assert read_log(root, "nothing") == []


def test_a_log_is_bounded_and_keeps_the_latest(root, tmp_path, monkeypatch):
    """A log stays within its size limit and keeps its latest lines.

    A huge message is truncated.
    """
    monkeypatch.setattr(trial_log, "MAX_BYTES", 20_000)
    with captured_log(root, "k"):
        own.info("x" * 100_000)
        for number in range(1000):
            own.info("line %d", number)
    kept = read_log(root, "k")
    files = list((tmp_path / log_path("k")).parent.iterdir())
    assert sum(file.stat().st_size for file in files) <= 20_000
    assert kept[-1].endswith("line 999")
    assert 100 < len(kept) < 1000


def test_any_text_can_be_logged_and_shown(root, monkeypatch):
    """Any text can be logged and shown, even if it is not valid UTF-8.

    Terminal escapes are removed, and huge messages are truncated.
    """
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # pytest's cannot pass such text between processes
    with captured_log(root, "k"):
        own.warning("no file caf\udce9.png")
        own.warning("\x1b[31m%s", "y" * 10_000_000)
        own.info("still there")
    kept = read_log(root, "k")
    assert kept[0].endswith(r"no file caf\udce9.png")
    assert "\x1b" not in "".join(kept)
    assert kept[-1].endswith("still there")


def test_the_lines_before_a_kill_are_on_disk(tmp_path):
    """If the root is a local directory, each record is written at once, so killing the process loses no record."""
    with captured_log(str(tmp_path), "k"):
        own.info("last words")
        assert "last words" in (tmp_path / log_path("k")).read_text()


def test_handlers_and_levels_are_restored(root):
    """After a trial, log handlers and levels are the same as before, even if the trial raised an error."""
    before = (list(logging.getLogger().handlers), logging.getLogger("nefstudy").level)

    def failing():
        with captured_log(root, "k"):
            own.info("about to fail")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        failing()
    assert (list(logging.getLogger().handlers), logging.getLogger("nefstudy").level) == before
    assert "about to fail" in read_log(root, "k")[-1]


def test_two_processes_lose_none_of_each_others_lines(root):
    """If a worker and the actor that waits for it write to the same log, the lines of both are kept."""
    storage = trial_log.Storage.at(root)  # type: ignore[attr-defined]  # the one that a fixture replaces
    actor, worker = (trial_log._handler(storage, log_path("k")) for _ in range(2))
    logger = logging.getLogger("shared")
    for handler, text in ((actor, "starts"), (worker, "epoch 1"), (worker, "epoch 2"), (actor, "ends")):
        handler.handle(logger.makeRecord("shared", logging.INFO, __file__, 0, text, (), None))
    worker.close()
    actor.close()
    assert sorted(read_log(root, "k")) == ["ends", "epoch 1", "epoch 2", "starts"]


@pytest.mark.parametrize(("call", "error"), [("read", OSError), ("write", BadRoot)])
def test_lines_that_cannot_be_written_are_written_later(root, monkeypatch, call, error):
    """If storage fails temporarily, the log loses no line from before or during the failure."""
    with captured_log(root, "k"):
        own.info("attempt 1")
    monkeypatch.setattr(trial_log, "UPLOAD_S", -1.0)
    with captured_log(root, "k"):
        with monkeypatch.context() as failing:
            failing.setattr(f"nefstudy.storage.Storage.{call}", raising(error))
            own.info("during the failure")
        own.info("attempt 2")
    assert [line.split(": ")[1] for line in read_log(root, "k")] == ["attempt 1", "during the failure", "attempt 2"]


def raising(error):
    def fails(*_):
        raise error("away")

    return fails
