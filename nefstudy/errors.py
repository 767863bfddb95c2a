"""The whole exception tree, and the exit code each branch ends a command with.

    NefstudyError                1   anything that is ours to report
    ├── BadInput                 2   the caller can mend it; nothing was lost
    │   ├── BadConfig            2   a value outside what is allowed: scale, cell, field, parameter
    │   ├── BadSignals           2   a data set that is missing, unreadable or inconsistent
    │   ├── BadRoot              2   a root that cannot be written, or is relative inside a Ray job
    │   ├── BadLedger            2   a ledger that cannot be opened or used
    │   │   ├── NoLedger         2   there is none at the address, or not yet
    │   │   └── OtherVersion     2   a ledger of another version
    │   └── BadNeuralDataset     2   a manifest or shard that is missing or does not verify
    ├── StudyBusy                3   another driver holds the study
    ├── DiskLow                  1   too little space is left to go on
    ├── ReplayDiffers            1   a trial computed again did not give what the ledger holds
    ├── StudyStopped             1   a rule ended the study, or a cell of it; what finished is kept
    │   └── LedgerReplaced       1   the ledger of a running study is another one now, or an earlier copy of itself
    └── TrialFailed              1   one trial could not be completed; the study goes on
        ├── FitDiverged          1   too few signals survived the fit to train a classifier
        └── StaleAttempt         1   a late commit by an attempt that no longer holds the trial

Every message names the value, what is allowed and the next step, on one line.
"""


class NefstudyError(Exception):
    """Root of everything nefstudy raises on purpose."""

    exit_code = 1


class BadInput(NefstudyError):
    """The caller gave something that cannot work; nothing was changed."""

    exit_code = 2


class BadConfig(BadInput):
    """A configuration value outside what is allowed."""


class BadSignals(BadInput):
    """A data set that is missing, unreadable or inconsistent."""


class BadRoot(BadInput):
    """A root directory or URI that cannot be used."""


class BadLedger(BadInput):
    """A ledger that cannot be opened or used."""


class NoLedger(BadLedger):
    """No ledger at the address, or not yet."""


class OtherVersion(BadLedger):
    """A ledger of another version, newer or of the first edition."""


class BadNeuralDataset(BadInput):
    """A neural dataset whose manifest or shards are missing or do not verify."""


class StudyBusy(NefstudyError):
    """Another live driver holds the study's lease."""

    exit_code = 3


class DiskLow(NefstudyError):
    """Too little space is left; nothing was lost, and the same command goes on once there is room."""


class ReplayDiffers(NefstudyError):
    """A trial that was computed again did not give what the ledger holds."""


class StudyStopped(NefstudyError):
    """Too many trials failed alike, or a cell's data is bad; what finished is kept."""


class LedgerReplaced(StudyStopped):
    """The ledger under a running driver or export was replaced by another one or by an earlier copy of itself."""


class TrialFailed(NefstudyError):
    """One trial could not be completed; its `cause` names the rule that applies.

    Attributes:
        cause: one of `diverged`, `oom`, `disk`, `bad_data`, `machine`, `worker_lost`, `preempted`, `timeout`,
            `too_big`, `withdrawn`, `bug`.
    """

    def __init__(self, message: str, *, cause: str = "bug") -> None:
        super().__init__(message)
        self.cause = cause


class FitDiverged(TrialFailed):
    """Too few signals survived the fit for a classifier to be trained on them."""

    def __init__(self, message: str) -> None:
        super().__init__(message, cause="diverged")


class StaleAttempt(TrialFailed):
    """A commit by an attempt whose token is no longer the trial's."""

    def __init__(self, message: str) -> None:
        super().__init__(message, cause="worker_lost")
