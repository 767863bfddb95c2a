"""Laws of a trial's log: it holds what was said while it was kept, within its bounds, and nothing else."""

import logging
import warnings

import pytest

from nefstudy.errors import BadRoot
from nefstudy.paths import log_path
from nefstudy.trial import log as trial_log
from nefstudy.trial.log import kept_log, read_log

own = logging.getLogger("nefstudy.mine")
foreign = logging.getLogger("somebody.else")


@pytest.fixture(params=["directory", "uri"])
def root(request, tmp_path):
    """A root that is a directory, and one that takes whole files only."""
    return str(tmp_path) if request.param == "directory" else f"mock://{tmp_path}"


@pytest.fixture(autouse=True)
def remote(monkeypatch, tmp_path):
    """A root named mock:// is one that is not local, whatever lies behind it."""
    from nefstudy.storage import Storage

    class Remote(Storage):
        is_local = False

    def at(root):
        place = Storage.at(root.removeprefix("mock://"))
        return Remote(place.root, place.filesystem, place.base) if root.startswith("mock://") else place

    monkeypatch.setattr(trial_log, "Storage", type("Place", (), {"at": staticmethod(at)}))


def test_what_is_said_meanwhile_is_kept(root):
    """Our lines from INFO on, others' warnings, Python's warnings; nothing from before or after."""
    own.warning("before")
    with kept_log(root, "k"):
        own.info("epoch %d", 1)
        foreign.info("chatter")
        foreign.warning("careful")
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("deprecated thing", stacklevel=1)
    own.warning("after")
    said = "\n".join(read_log(root, "k"))
    for wanted in ("nefstudy.mine: epoch 1", "careful", "deprecated thing"):
        assert wanted in said
    for unwanted in ("before", "after", "chatter"):
        assert unwanted not in said


def test_attempts_follow_each_other_in_one_log(root):
    """A second attempt adds to the first's; two trials are apart."""
    for attempt in (1, 2):
        with kept_log(root, "k"):
            own.info("attempt %d", attempt)
    with kept_log(root, "other"):
        own.info("alone")
    assert [line[-9:] for line in read_log(root, "k")] == ["attempt 1", "attempt 2"]
    assert read_log(root, "k", lines=1)[0].endswith("attempt 2")
    assert read_log(root, "nothing") == []


def test_a_log_is_bounded_and_keeps_the_latest(root, tmp_path, monkeypatch):
    """However much is said, at most the bound is kept, the last line among it; one huge message is cut."""
    monkeypatch.setattr(trial_log, "MAX_BYTES", 20_000)
    with kept_log(root, "k"):
        own.info("x" * 100_000)
        for number in range(1000):
            own.info("line %d", number)
    kept = read_log(root, "k")
    files = list((tmp_path / log_path("k")).parent.iterdir())
    assert sum(file.stat().st_size for file in files) <= 20_000
    assert kept[-1].endswith("line 999")
    assert 100 < len(kept) < 1000


def test_any_text_can_be_logged_and_shown(root, monkeypatch):
    """File names that are not UTF-8 are spelled out, terminal escapes and huge messages cut."""
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # pytest's own cannot hand such text to another process
    with kept_log(root, "k"):
        own.warning("no file caf\udce9.png")
        own.warning("\x1b[31m%s", "y" * 10_000_000)
        own.info("still there")
    kept = read_log(root, "k")
    assert kept[0].endswith(r"no file caf\udce9.png")
    assert "\x1b" not in "".join(kept)
    assert kept[-1].endswith("still there")


def test_the_lines_before_a_death_are_there(tmp_path):
    """In a directory each line is on disk as soon as it is said: a killed worker leaves its last words."""
    with kept_log(str(tmp_path), "k"):
        own.info("last words")
        assert "last words" in (tmp_path / log_path("k")).read_text()


def test_nothing_of_the_logging_stays_behind(root):
    """Handlers and levels are as they were."""
    before = (list(logging.getLogger().handlers), logging.getLogger("nefstudy").level)

    def failing():
        with kept_log(root, "k"):
            own.info("about to fail")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        failing()
    assert (list(logging.getLogger().handlers), logging.getLogger("nefstudy").level) == before
    assert "about to fail" in read_log(root, "k")[-1]


def test_two_processes_lose_none_of_each_others_lines(root):
    """A worker that closes the log before the actor that waits for it, or after it, is heard as well as that one."""
    actor, worker = (trial_log._handler(trial_log.Storage.at(root), log_path("k")) for _ in range(2))
    said = logging.getLogger("said")
    for handler, words in ((actor, "starts"), (worker, "epoch 1"), (worker, "epoch 2"), (actor, "ends")):
        handler.handle(said.makeRecord("said", logging.INFO, __file__, 0, words, (), None))
    worker.close()
    actor.close()
    assert sorted(read_log(root, "k")) == ["ends", "epoch 1", "epoch 2", "starts"]


@pytest.mark.parametrize(("call", "error"), [("read", OSError), ("write", BadRoot)])
def test_what_cannot_be_written_yet_comes_with_the_next(root, monkeypatch, call, error):
    """A store that fails for a while, or cannot be read, costs a log no line of before or meanwhile."""
    with kept_log(root, "k"):
        own.info("attempt 1")
    monkeypatch.setattr(trial_log, "UPLOAD_S", -1.0)
    with kept_log(root, "k"):
        with monkeypatch.context() as away:
            away.setattr(f"nefstudy.storage.Storage.{call}", raising(error))
            own.info("said meanwhile")
        own.info("attempt 2")
    assert [line.split(": ")[1] for line in read_log(root, "k")] == ["attempt 1", "said meanwhile", "attempt 2"]


def raising(error):
    def fails(*_):
        raise error("away")

    return fails
