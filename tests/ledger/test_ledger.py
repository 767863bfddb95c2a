"""The ledger as a whole: light to import, shared by threads, the same for writer and readers."""

import subprocess
import sys
import threading

from nefstudy.ledger import Ledger, TrialState


def test_ledger_imports_nothing_heavy():
    """Whoever reads the ledger needs neither torch, nor Ray, nor MLflow."""
    code = "import nefstudy.ledger, sys; print([m for m in ('torch', 'ray', 'mlflow', 'numpy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_threads_share_a_ledger(ledger, finish):
    """Threads that write and read one ledger together lose nothing and fail nowhere."""
    failed: list[Exception] = []

    def work(first: int) -> None:
        try:
            for seed in range(first, first + 5):
                made = finish(ledger, seed)
                assert ledger.trials.get(made.key).state is TrialState.COMPLETE
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(10 * number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert ledger.trials.counts("digits") == {("phase1", "digits8/siren", TrialState.COMPLETE): 15}


def test_reader_sees_what_a_writer_committed(url, ledger, finish):
    """A ledger opened for reading answers as the writer's own."""
    finish(ledger, 1)
    with Ledger.open(url, read_only=True) as reader:
        assert reader.trials.page("digits") == ledger.trials.page("digits")
        finish(ledger, 2)
        assert reader.trials.page("digits") == ledger.trials.page("digits")
        assert len(reader.trials.page("digits").rows) == 2
