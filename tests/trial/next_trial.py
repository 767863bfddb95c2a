"""A program that runs a healthy trial in a process whose state an earlier trial has changed.

For each act, it starts a child process and prints one JSON line.

python -m tests.trial.next_trial ROOT ACT...
ACT is a name in ACTS or QUIET_ACTS, `fresh` (no earlier trial), or `not-isolated:NAME` (the state of the process is
not restored).
"""

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from nefstudy.classifiers.catalog import CLASSIFIERS
from nefstudy.classifiers.catalog import complete as complete_classifier
from nefstudy.classifiers.classifier import WeightClassifier
from nefstudy.classifiers.networks.mlp import Mlp
from nefstudy.config import ClassifierConfig, FieldConfig, NeuralDatasetConfig, SignalsConfig
from nefstudy.fields.catalog import complete
from nefstudy.fields.field import NeuralField
from nefstudy.signals.catalog import pin
from nefstudy.tasks.classification import ClassificationConfig, run_classification
from nefstudy.tasks.result import TrialResult
from nefstudy.tasks.setting import Catalogs, Setting
from nefstudy.trial.process_state import isolated
from tests.trial.acts import ACTS, QUIET_ACTS

SIGNALS = pin(SignalsConfig(name="digits8", subset=120))
FIELD = complete(FieldConfig(name="siren", params={"hidden": 32}))


@dataclass(frozen=True)
class Trap:
    """A trap for later trials: a small MLP that changes the state of its process when it is built."""

    act: str = "dtype"

    def build(self, field: NeuralField, classes: int) -> WeightClassifier:
        (ACTS[self.act][0] if self.act in ACTS else QUIET_ACTS[self.act])()
        return Mlp(width=8, depth=1).build(field, classes)


CATALOGS = Catalogs(classifiers=CLASSIFIERS | {"trap": Trap})


def trial(init: str, classifier: ClassifierConfig) -> ClassificationConfig:
    data = NeuralDatasetConfig(signals=SIGNALS, field=FIELD, init=init)
    return ClassificationConfig(
        dataset=data, steps=5, classifier=complete_classifier(classifier, classifiers=CATALOGS.classifiers)
    )


@contextmanager
def not_isolated(*_: object, **__: object) -> Iterator[None]:
    yield


def after(act: str, root: Path) -> dict[str, object]:
    """Run a trial that performs `act`, then a healthy trial, and return the healthy trial's result."""
    setting = Setting(root=str(root), clock=time.monotonic, engine="eager", catalogs=CATALOGS)
    isolation = not_isolated if act.startswith("not-isolated:") else isolated

    def run(config: ClassificationConfig) -> TrialResult:
        with isolation(seed=config.seed):  # as a worker does
            return run_classification(config, setting=setting)

    if act != "fresh":
        try:
            params = {"act": act.removeprefix("not-isolated:")}
            run(trial("random", ClassifierConfig(name="trap", params=params, epochs=1)))
        except Exception as error:  # some acts break their own trial
            print(act, type(error).__name__, error, file=sys.stderr)  # noqa: T201
    torch.set_num_threads(1)  # as before each trial
    result = run(trial("shared", ClassifierConfig(name="gnn-sign", epochs=2)))
    metrics = {name: repr(value) for name, value in result.metrics.items() if not name.endswith("_seconds")}
    return {"bytes": result.rung_sha256, "fingerprint": result.fingerprint, "metrics": metrics}


def main() -> None:
    for number, act in enumerate(sys.argv[2:]):
        if pid := os.fork():
            os.waitpid(pid, 0)
            continue
        try:
            values = after(act, Path(sys.argv[1], str(number)))
        except Exception as error:
            values = {"failed": repr(error)}
        print(json.dumps({"act": act, **values}), flush=True)  # noqa: T201
        os._exit(0)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
