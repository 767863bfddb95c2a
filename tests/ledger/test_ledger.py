"""Tests of the ledger as a whole: light imports, thread safety, and equal results for writers and readers."""

import subprocess
import sys
import threading

from nefstudy.ledger import Ledger, TrialState


def test_ledger_imports_nothing_heavy():
    """Importing the ledger does not import torch, Ray, MLflow or NumPy."""
    code = "import nefstudy.ledger, sys; print([m for m in ('torch', 'ray', 'mlflow', 'numpy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_threads_share_a_ledger(ledger, finish):
    """Several threads can read and write one ledger concurrently without errors or lost results."""
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
    """A ledger opened read-only returns what the writer has committed."""
    finish(ledger, 1)
    with Ledger.open(url, read_only=True) as reader:
        assert reader.trials.page("digits") == ledger.trials.page("digits")
        finish(ledger, 2)
        assert reader.trials.page("digits") == ledger.trials.page("digits")
        assert len(reader.trials.page("digits").rows) == 2
