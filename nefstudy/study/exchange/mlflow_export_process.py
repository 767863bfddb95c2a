"""The process started by `mlflow_export.py`, which writes finished trials to MLflow.

The first line of input holds the locations as JSON. The line `end` requests the rest and then the end. Input that
closes without it means that the driver is gone: the rest then waits for the next run.
"""

import json
import os
import sys
import threading

from nefstudy.errors import BadLedger
from nefstudy.ledger import Ledger
from nefstudy.ledger.outbox import MAX_TRIES
from nefstudy.outside_text import safe_error
from nefstudy.process_text import hide_secrets
from nefstudy.study.exchange.mlflow_export import END

PERIOD_S = 2.0
LONGEST_S = 15.0  # between two checks while MLflow fails: once it is back, all is written within a minute
CHUNK = 100  # results between two checks of the driver's input
NICENESS = 10  # trials come first


class Driver:
    """A reader of the driver's messages on standard input: first the export's locations, later the request to end."""

    def __init__(self) -> None:
        self.where: dict[str, str] = json.loads(sys.stdin.readline())
        self.spoke = threading.Event()
        self.gone = False
        threading.Thread(target=self._listen, name="driver", daemon=True).start()

    def _listen(self) -> None:
        for line in sys.stdin:
            if line.strip() == END:
                self.spoke.set()
        self.gone = True
        self.spoke.set()


def main() -> None:
    """Export until the driver requests the end of the export."""
    os.nice(NICENESS)
    hide_secrets()
    driver = Driver()
    try:
        with Ledger.open(driver.where["ledger"]) as ledger:
            follow(ledger, driver)
    except BadLedger as error:  # the driver meets the same error and reports the next step
        sys.exit(f"the export ends: {safe_error(str(error))}")
    except ImportError as error:  # the code was removed with the job's working directory; the driver reports it
        sys.exit(f"the export ends: {safe_error(str(error))}; results wait in the ledger")


def follow(ledger: Ledger, driver: Driver) -> None:
    """Export every few seconds, less often while MLflow fails, and once more at the end."""
    wait = PERIOD_S
    while not driver.spoke.wait(wait):
        export(ledger, driver)
        wait = min(2 * wait, LONGEST_S) if _met_failure(ledger) else PERIOD_S
    export(ledger, driver)


def export(ledger: Ledger, driver: Driver) -> None:
    """Write runs until no result is left, no more can be written, or the driver has exited."""
    if not any(entry.tries < MAX_TRIES for entry in ledger.outbox.pending(1)):
        return
    from nefstudy.tracking.export import drain_all  # seconds of CPU, spent only once there is a result

    uri, root = driver.where["tracking_uri"], driver.where["root"]
    drain_all(ledger, tracking_uri=uri, root=root, limit=CHUNK, should_continue=lambda: not driver.gone)


def _met_failure(ledger: Ledger) -> bool:
    """Return whether a result is waiting for a retry because MLflow was unavailable or refused it."""
    return any(entry.error is not None and entry.tries < MAX_TRIES for entry in ledger.outbox.pending(CHUNK))


if __name__ == "__main__":
    main()
