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
from nefstudy.study.exporter import END

PERIOD_S = 2.0
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
    driver = Driver()
    try:
        with Ledger.open(driver.where["ledger"]) as ledger:
            follow(ledger, driver)
    except BadLedger as error:  # the driver will find the same, and says what to do
        sys.exit(f"the export ends: {error}")


def follow(ledger: Ledger, driver: Driver) -> None:
    """Export every few seconds, and once more at the end."""
    while not driver.spoke.wait(PERIOD_S):
        export(ledger, driver)
    export(ledger, driver)


def export(ledger: Ledger, driver: Driver) -> None:
    """Write runs until nothing is left, nothing moves, or the driver is gone."""
    oldest = _oldest(ledger)
    while oldest is not None and not driver.gone:
        from nefstudy.tracking import drain  # seconds of CPU, which nobody spends before there is a result

        uri, root = driver.where["tracking_uri"], driver.where["root"]
        drain(ledger, tracking_uri=uri, root=root, limit=CHUNK)
        before, oldest = oldest, _oldest(ledger)
        if oldest == before:  # MLflow is away or refuses it
            return


def _oldest(ledger: Ledger) -> int | None:
    """Which result would be exported next; None when all are."""
    return next((entry.id for entry in ledger.pending(1)), None)


if __name__ == "__main__":
    main()
