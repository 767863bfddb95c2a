"""Tests of the causes of errors: transient errors are distinguished from bad data and bugs."""

import errno
import os
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ray import exceptions as lost

from nefstudy.errors import BadNeuralDataset, BadRoot, BadSignals, FitDiverged, TrialFailed
from nefstudy.storage import list_tree, open_file, read_bytes
from nefstudy.study.driver.rules import RULES
from nefstudy.trial.causes import KNOWN, LINE_LENGTH, TRANSIENT_ERRNOS, cause_of, first_line, portable

EXAMPLES = int(os.environ.get("NEFSTUDY_EXAMPLES", "200"))
NAMES = (
    "EIO ESTALE EROFS EMFILE ENFILE ETIMEDOUT ECONNRESET ENOTCONN EHOSTDOWN ENETUNREACH EACCES EPERM ENXIO EAGAIN "
    "ENODEV EPIPE ECONNREFUSED EBUSY EHOSTUNREACH"
)


def os_error(name: str) -> OSError:
    number = getattr(errno, name)
    return OSError(number, os.strerror(number), "/mnt/shared/x.arrow")


DRIVER_CAUSES = {"timeout", "too_big", "withdrawn"}


def raised(error: BaseException, cause: BaseException, *, hidden: bool = False) -> BaseException:
    """Raise `error` while handling `cause`, with `from None` if `hidden`; return the raised error."""
    try:
        try:
            raise cause
        except type(cause) as handled:
            raise error from (None if hidden else handled)
    except type(error) as caught:
        return caught


def test_every_cause_has_a_rule() -> None:
    """Every cause of an error has a rule.

    All other rules are for causes that only the driver sets.
    """
    assert set(RULES) - set(KNOWN) == DRIVER_CAUSES
    assert set(KNOWN) <= set(RULES)


@pytest.mark.parametrize("cause", [*KNOWN, *sorted(DRIVER_CAUSES), "weather"])
def test_a_trial_reports_only_known_causes(cause: str) -> None:
    """If a trial's code names the cause of its failure, the cause is kept only if it is a known one.

    A driver-only cause and an unknown cause become `bug`.
    """
    assert cause_of(TrialFailed("x", cause=cause)) == (cause if cause in KNOWN else "bug")


@pytest.mark.parametrize("name", NAMES.split())
def test_errors_of_machine_and_network_have_the_cause_machine(name: str) -> None:
    """An error with a transient errno has the cause `machine`.

    This holds even if only a message of inductor contains the errno, or if another error wraps it.
    """
    error = os_error(name)
    assert cause_of(error) == "machine"
    assert cause_of(RuntimeError(f"backend='inductor' raised:\nOSError: {error}")) == "machine"
    for kind in (BadSignals, BadNeuralDataset, BadRoot):
        assert cause_of(raised(kind("cannot be read"), error)) == "machine"
        assert cause_of(raised(kind("cannot be read"), error, hidden=True)) == "machine"


@pytest.mark.parametrize(
    "error",
    [
        OSError("When reading information for key 'x': AWS Error NETWORK_CONNECTION during HeadObject: curlCode: 28"),
        OSError("AWS Error SLOW_DOWN during PutObject operation: Please reduce your request rate."),
        OSError("google::cloud::Status(UNAVAILABLE: try again)"),
        OSError("Unable to open file (errno = 5, error message = 'Input/output error')"),
        RuntimeError("can't start new thread"),
        RuntimeError("CUDA error: uncorrectable ECC error encountered"),
        RuntimeError("CUDA error: all CUDA-capable devices are busy or unavailable"),
        RuntimeError("CUDA error: unspecified launch failure"),
        RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
        RuntimeError("NCCL error in: net.cc:1, remote process exited or there was a network error"),
        BlockingIOError(),
        BrokenPipeError(),
        ConnectionError("gone"),
        TimeoutError(),
        lost.GetTimeoutError("no answer"),
        lost.RuntimeEnvSetupError("no disk"),
        lost.ObjectStoreFullError("full"),
        lost.RaySystemError("socket closed"),
        torch.distributed.DistNetworkError("connection reset"),
    ],
    ids=lambda error: f"{type(error).__name__} {error}"[:50].strip(),
)
def test_machine_errors_without_an_errno_are_recognized_by_class_or_message(error: Exception) -> None:
    """Machine errors without an errno are recognized by their class or message.

    They come from remote file systems, GPU libraries, threads and Ray.
    """
    assert cause_of(error) == "machine"


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "oom"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), "oom"),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), "oom"),
        (RuntimeError("cusolver error: CUSOLVER_STATUS_ALLOC_FAILED, when calling"), "oom"),
        (RuntimeError("CUDA error: out of memory"), "oom"),
        (RuntimeError("std::bad_alloc"), "oom"),
        (RuntimeError("backend='inductor' raised:\nOSError: [Errno 28] No space left on device"), "disk"),
        (raised(BadRoot("cannot be written"), os_error("ENOSPC")), "disk"),
        (raised(BadRoot("cannot be written"), os_error("ENOTDIR")), "disk"),
        (raised(BadRoot("shard was not removed"), BadNeuralDataset("shard is torn"), hidden=True), "disk"),
        (lost.OutOfDiskError("full"), "disk"),
        (lost.OwnerDiedError("00", None, ""), "worker_lost"),
        (lost.LocalRayletDiedError(), "worker_lost"),
        (BadSignals("file x is torn"), "bad_data"),
        (raised(BadSignals("x cannot be read"), os_error("ENOENT")), "bad_data"),
        (raised(BadSignals("x is not a picture"), OSError("image file is truncated"), hidden=True), "bad_data"),
        (RuntimeError("CUDA error: device-side assert triggered"), "bug"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_INVALID_VALUE when calling"), "bug"),
        (OSError("AWS Error NO_SUCH_KEY during GetObject operation"), "bug"),
        (KeyError("Connection reset"), "bug"),
        (os_error("ENOENT"), "bug"),
        (raised(FitDiverged("9 of 10"), os_error("EIO")), "diverged"),
        (TrialFailed("mine", cause="no such cause"), "bug"),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{type(value).__name__} {value}"[:50],
)
def test_other_errors_keep_their_cause(error: Exception, cause: str) -> None:
    """Lack of memory or space, lost workers, bad data and bugs are not mistaken for a failing machine."""
    assert cause_of(error) == cause


def test_a_rank_that_fails_is_not_hidden_by_the_connections_it_broke() -> None:
    """If a failed worker breaks another worker's connection, the cause is taken from the failed worker's error."""
    group = RuntimeError("group failed")
    group.worker_failures = {0: RuntimeError("Connection closed by peer"), 1: BadSignals("x is torn")}  # type: ignore[attr-defined]
    assert cause_of(group) == "bad_data"


def test_a_portable_error_survives_pickling() -> None:
    """Pickling drops the errors that an error wraps, but an error made portable keeps its cause and one-line text."""
    error = raised(BadNeuralDataset("shard 1 cannot be read"), os_error("ESTALE"))
    assert cause_of(pickle.loads(pickle.dumps(error))) == "bad_data", "else `portable` is not needed"
    sent = pickle.loads(pickle.dumps(portable(error)))
    assert (cause_of(sent), first_line(sent)) == ("machine", "shard 1 cannot be read")


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE])
def test_data_on_a_failing_mount_are_not_bad_data(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a file or folder cannot be read because its mount fails, the cause is `machine`, not `bad_data`."""
    from pyarrow import fs

    class Failing:
        def __getattr__(self, _name: str) -> object:
            def fail(*_: object) -> None:
                raise OSError(number, os.strerror(number))

            return fail

    monkeypatch.setattr(fs, "LocalFileSystem", Failing)
    for look in (read_bytes, list_tree, lambda location: open_file(location).__enter__()):
        with pytest.raises(BadSignals) as caught:
            look("/data/x.npz")
        assert cause_of(caught.value) == "machine"


CLASSES = st.sampled_from(
    [OSError, RuntimeError, ValueError, MemoryError, KeyError, BadSignals, BadRoot, TrialFailed, lost.RaySystemError]
)


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(st.tuples(CLASSES, st.text(max_size=3000), st.none() | st.integers(-9, 300)), min_size=1, max_size=5))
def test_any_error_has_a_known_cause_and_one_bounded_printable_line(links) -> None:
    """Every error is reported with a known cause, in one short printable line.

    This holds for any class, message, errno and chain of errors.
    """
    error: BaseException | None = None
    for kind, text, number in links:
        outer = OSError(number, text) if kind is OSError and number is not None else kind(text)
        outer.__cause__ = error
        error = outer
    assert error is not None
    assert cause_of(error) in RULES
    line = first_line(error)
    assert 0 < len(line) <= LINE_LENGTH
    assert len(line.splitlines()) == 1
    assert "\x1b" not in line
    line.encode()


def test_an_error_without_a_message_still_has_a_line() -> None:
    """If an error's `__str__` raises and its `__cause__` is the error itself, it is reported as a `bug` in one line."""

    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no")

    error = Mute()
    error.__cause__ = error
    assert (cause_of(error), first_line(error)) == ("bug", "Mute: no message")


def test_transient_errnos_have_no_other_cause() -> None:
    """The errnos of full disks, lack of memory and missing files do not count as transient."""
    assert not {errno.ENOSPC, errno.EDQUOT, errno.ENOMEM, errno.ENOENT} & set(TRANSIENT_ERRNOS)
