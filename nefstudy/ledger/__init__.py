"""The one record of what happened.

A study's driver is the only writer of its trials, under a lease that keeps a second driver out. A trial is
requested, started and ended; each attempt has a token, and only the latest one can commit, once. Everything
that people look at (status service, MLflow, report) is derived from here and can be rebuilt from here. One
file of SQLite serves a whole cluster, because workers report to the driver; PostgreSQL is a URL away.
"""

from nefstudy.ledger.filters import Filter as Filter
from nefstudy.ledger.heartbeat import Heartbeat as Heartbeat
from nefstudy.ledger.lease import Lease as Lease
from nefstudy.ledger.leases import Holder as Holder
from nefstudy.ledger.ledger import Ledger as Ledger
from nefstudy.ledger.owner import Owner as Owner
from nefstudy.ledger.record import CellRecord as CellRecord
from nefstudy.ledger.record import TrialRecord as TrialRecord
from nefstudy.ledger.rows import CommandRow as CommandRow
from nefstudy.ledger.rows import Coverage as Coverage
from nefstudy.ledger.rows import End as End
from nefstudy.ledger.rows import EventRow as EventRow
from nefstudy.ledger.rows import NeuralDatasetRow as NeuralDatasetRow
from nefstudy.ledger.rows import OutboxRow as OutboxRow
from nefstudy.ledger.rows import Page as Page
from nefstudy.ledger.rows import StoredPage as StoredPage
from nefstudy.ledger.rows import StudyRow as StudyRow
from nefstudy.ledger.rows import TrialRow as TrialRow
from nefstudy.ledger.rows import TrialState as TrialState
