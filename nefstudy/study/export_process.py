"""What `exporter.py` starts: finished trials to MLflow, in a process of its own.

The first line of input says where, as JSON. The line `end` asks for what is left, and then for the end. Input
that closes without it means that the driver is gone: what is left then waits for the next run.
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
from nefstudy.study.exporter import END

PERIOD_S = 2.0
LONGEST_S = 15.0  # between two looks while MLflow fails: once it is mended, all is written within a minute
CHUNK = 100  # results between two looks at what the driver says
NICENESS = 10  # trials come first


class Driver:
    """What the driver has said so far."""

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
    """Export until told to end."""
    os.nice(NICENESS)
    hide_secrets()
    driver = Driver()
    try:
        with Ledger.open(driver.where["ledger"]) as ledger:
            follow(ledger, driver)
    except BadLedger as error:  # the driver will find the same, and says what to do
        sys.exit(f"the export ends: {safe_error(str(error))}")
    except ImportError as error:  # the code was removed with the job's working directory; the driver says what to do
        sys.exit(f"the export ends: {safe_error(str(error))}; results wait in the ledger")


def follow(ledger: Ledger, driver: Driver) -> None:
    """Export every few seconds, less often while MLflow fails, and once more at the end."""
    wait = PERIOD_S
    while not driver.spoke.wait(wait):
        export(ledger, driver)
        wait = min(2 * wait, LONGEST_S) if _met_failure(ledger) else PERIOD_S
    export(ledger, driver)


def export(ledger: Ledger, driver: Driver) -> None:
    """Write runs until nothing is left, nothing moves, or the driver is gone."""
    if not any(entry.tries < MAX_TRIES for entry in ledger.outbox.pending(1)):
        return
    from nefstudy.tracking import drain_all  # seconds of CPU, which nobody spends before there is a result

    uri, root = driver.where["tracking_uri"], driver.where["root"]
    drain_all(ledger, tracking_uri=uri, root=root, limit=CHUNK, go_on=lambda: not driver.gone)


def _met_failure(ledger: Ledger) -> bool:
    """Whether a result that is to be tried again waits because MLflow was away, or refused it."""
    return any(entry.error is not None and entry.tries < MAX_TRIES for entry in ledger.outbox.pending(CHUNK))


if __name__ == "__main__":
    main()
