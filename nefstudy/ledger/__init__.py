"""The database that records studies, trials and results: the single source of truth.

Only a study's driver writes its trials, under a lease that keeps a second driver out. A trial is requested,
started and ended. Each attempt has a token, and only the latest token can commit, once. The status service,
MLflow and the report are derived from the ledger and can be rebuilt from it. Workers report to the driver, so
one SQLite file serves a whole cluster; for PostgreSQL, pass its URL instead.
"""

from nefstudy.ledger.heartbeat import Heartbeat as Heartbeat
from nefstudy.ledger.lease import Lease as Lease
from nefstudy.ledger.leases import Holder as Holder
from nefstudy.ledger.ledger import Ledger as Ledger
from nefstudy.ledger.owner import Owner as Owner
from nefstudy.ledger.record import CellRecord as CellRecord
from nefstudy.ledger.record import TrialRecord as TrialRecord
from nefstudy.ledger.sql.filters import Filter as Filter
from nefstudy.ledger.sql.rows import CommandRow as CommandRow
from nefstudy.ledger.sql.rows import Coverage as Coverage
from nefstudy.ledger.sql.rows import EventRow as EventRow
from nefstudy.ledger.sql.rows import NeuralDatasetRow as NeuralDatasetRow
from nefstudy.ledger.sql.rows import OutboxRow as OutboxRow
from nefstudy.ledger.sql.rows import StoredPage as StoredPage
from nefstudy.ledger.sql.rows import StudyRow as StudyRow
from nefstudy.ledger.sql.rows import TrialEnd as TrialEnd
from nefstudy.ledger.sql.rows import TrialRow as TrialRow
from nefstudy.ledger.sql.rows import TrialRowPage as TrialRowPage
from nefstudy.ledger.sql.rows import TrialState as TrialState
