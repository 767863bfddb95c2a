"""The exception hierarchy and the exit code of each class.

    NefstudyError                1   any error that nefstudy reports
    ├── BadInput                 2   the caller can fix it; nothing was lost
    │   ├── BadConfig            2   a value outside its allowed range: scale, cell, field, parameter
    │   ├── BadSignals           2   a data set that is missing, unreadable or inconsistent
    │   ├── BadRoot              2   a root that is not writable, or is relative inside a Ray job
    │   ├── BadLedger            2   a ledger that cannot be opened or used
    │   │   ├── NoLedger         2   no ledger at the address, or not yet
    │   │   └── OtherVersion     2   a ledger of an unsupported version
    │   └── BadNeuralDataset     2   a manifest or shard that is missing or fails verification
    ├── StudyBusy                3   another driver holds the study's lease
    ├── DiskLow                  1   too little disk space to continue
    ├── ReplayDiffers            1   a recomputed trial does not match the ledger
    ├── StudyStopped             1   a rule stopped the study or one of its cells; finished trials are kept
    │   └── LedgerReplaced       1   a running study's ledger was replaced by another one or by an older copy
    └── TrialFailed              1   one trial failed; the study continues
        ├── FitDiverged          1   too few signals survived the fit to train a classifier
        └── StaleAttempt         1   a late commit by an attempt that no longer holds the trial

Every message names the value, what is allowed and the next step, on one line.
"""


class NefstudyError(Exception):
    """Base class of all errors that nefstudy raises deliberately."""

    exit_code = 1


class BadInput(NefstudyError):
    """Invalid input from the caller; nothing was changed."""

    exit_code = 2


class BadConfig(BadInput):
    """A configuration value that is not allowed."""


class BadSignals(BadInput):
    """A data set that is missing, unreadable or inconsistent."""


class BadRoot(BadInput):
    """A root directory or URI that cannot be used."""


class BadLedger(BadInput):
    """A ledger that cannot be opened or used."""


class NoLedger(BadLedger):
    """A ledger that does not exist at the given address; a study may still create it."""


class OtherVersion(BadLedger):
    """A ledger of a version that this nefstudy does not support, newer or older."""


class BadNeuralDataset(BadInput):
    """A neural dataset whose manifest or shards are missing or fail verification."""


class StudyBusy(NefstudyError):
    """A study whose lease is held by another live driver."""

    exit_code = 3


class DiskLow(NefstudyError):
    """Too little disk space; nothing was lost, and the same command resumes once space is free."""


class ReplayDiffers(NefstudyError):
    """A recomputed trial whose result differs from the result in the ledger."""


class StudyStopped(NefstudyError):
    """A study or cell that was stopped by bad data or too many similar failures; finished trials are kept."""


class LedgerReplaced(StudyStopped):
    """A ledger that was replaced by another ledger or an older copy while a driver or export was running."""


class TrialFailed(NefstudyError):
    """A failed trial; its `cause` determines which failure rule applies.

    Attributes:
        cause: one of `diverged`, `bad_data`, `oom`, `disk`, `machine`, `worker_lost`, `preempted`, `bug` (KNOWN in
            trial/causes.py). Any other cause counts as `bug`, including `timeout`, `too_big` and `withdrawn`, which
            only the driver sets.
    """

    def __init__(self, message: str, *, cause: str = "bug") -> None:
        super().__init__(message)
        self.cause = cause


class FitDiverged(TrialFailed):
    """A fit that left too few finite fields to train a classifier on."""

    def __init__(self, message: str) -> None:
        super().__init__(message, cause="diverged")


class StaleAttempt(TrialFailed):
    """A commit by an attempt whose token is no longer current."""

    def __init__(self, message: str) -> None:
        super().__init__(message, cause="worker_lost")
