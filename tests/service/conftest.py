"""A small study in a real ledger, and clients of the service over it."""

import asyncio
import math
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from nefstudy.config import (
    ClassifierConfig,
    FieldConfig,
    NeuralDatasetConfig,
    OptimizerConfig,
    SignalsConfig,
)
from nefstudy.ledger import Ledger, Owner
from nefstudy.service.app import create_app
from nefstudy.tasks.classification import ClassificationConfig

from ..ledger.records import as_cells, as_record, cell_of
from .served import CHROMIUM, WIDE, Served

STUDY = "smoke"
TOKEN = "a-token-of-the-tests"
CELLS = ("digits8/siren", "digits8/mfn")
PICTURE = "trials/reconstruction.png"
SEARCHED = {
    "cells": [
        {
            "phase": "phase1", "cell": CELLS[0], "planned": 60, "sampler": {"name": "Tpe"},
            "space": {
                "init": {"kind": "Choice", "values": ["random", "shared"]},
                "steps": {"kind": "Choice", "values": [5, 25, 75, 200]},
                "hidden": {"kind": "Whole", "low": 8, "high": 128, "log": True, "multiple": 1},
            },
        }
    ]
}  # fmt: skip
"""A plan of one searched cell."""
SOON_MS = 30_000  # the page asks every four seconds by itself; a busy machine takes its time
OPERATOR_SECRET = "/srv/secret/place/model.py"


def trial_config(
    cell: str, *, init: str = "shared", steps: int = 25, hidden: int = 16, lr: float = 1e-3
) -> ClassificationConfig:
    """A valid trial of a cell."""
    signals, field = cell.split("/")
    dataset = NeuralDatasetConfig(
        signals=SignalsConfig(name=signals),
        field=FieldConfig(name=field, params={"hidden": hidden}),
        init=init,
        optimizer=OptimizerConfig(lr=lr),
    )
    return ClassificationConfig(dataset=dataset, steps=steps, classifier=ClassifierConfig(name="mlp"))


def metrics_of(trial: ClassificationConfig) -> dict[str, float]:
    """Numbers that grow with steps and fall with a random start, as in a real study."""
    quality = 8 + 4 * math.log(trial.steps)
    test = (0.9 if trial.dataset.init.name == "shared" else 0.3) - 0.002 * abs(quality - 20)
    return {
        "val_accuracy": test + 0.01,
        "test_accuracy": test,
        "all_psnr": quality,
        "all_ssim": 0.8,
        "all_nmi": test / 2,
        "all_off_grid_ratio": 0.5 + test / 2,
        "field_steps": 50.0 * trial.steps,
        "fit_seconds": 2.0,
        "classify_seconds": 1.0,
    }


def run_trial(ledger: Ledger, phase: str, trial: ClassificationConfig) -> str:
    """The key of a trial that was asked for, ran and completed."""
    token = ledger.trials.request(STUDY, phase, record=as_record(trial))
    ledger.trials.start(STUDY, phase, key=trial.key, token=token)
    ledger.trials.complete(
        STUDY,
        phase,
        key=trial.key,
        token=token,
        metrics=metrics_of(trial),
        curves={"all_psnr": [(0, 5.0), (trial.steps, 12.0)], "val_accuracy": [(1, 0.5), (2, 0.6)]},
        artifacts={"reconstruction.png": PICTURE},
        fingerprint={"engine": "eager"},
    )
    return trial.key


def fill_study(ledger: Ledger) -> list[str]:
    """Keys of the complete trials of a study with something in every state; phase 2 is half done."""
    ledger.studies.put(STUDY, {"phase2": {"seed": 0}}, cells=as_cells({("phase2", cell): 16 for cell in CELLS}))
    grid = [(cell, init, steps) for cell in CELLS for init in ("shared", "random") for steps in (5, 25, 75, 1000)]
    keys = [run_trial(ledger, "phase2", trial_config(c, init=init, steps=n)) for c, init, n in grid]
    failing = trial_config(CELLS[0], steps=7)
    token = ledger.trials.request(STUDY, "phase2", record=as_record(failing))
    ledger.trials.fail(
        STUDY,
        "phase2",
        key=failing.key,
        token=token,
        cause="bug",
        error=f"ValueError: no luck in {OPERATOR_SECRET}\nTraceback (most recent call last):\n  {OPERATOR_SECRET}",
    )
    running = trial_config(CELLS[0], steps=8)
    token = ledger.trials.request(STUDY, "phase2", record=as_record(running))
    ledger.trials.start(STUDY, "phase2", key=running.key, token=token)
    ledger.trials.request(STUDY, "phase2", record=as_record(trial_config(CELLS[1], steps=9)))
    return keys


def stop_after_retry(ledger: Ledger) -> ClassificationConfig:
    """A study of one trial, which ran out of memory and was put back, and whose cell was then left alone."""
    trial = trial_config(CELLS[0], steps=7)
    ledger.studies.put(STUDY, {}, cells=as_cells({("phase2", cell_of(trial)): 1}))
    token = ledger.trials.request(STUDY, "phase2", record=as_record(trial))
    ledger.trials.retry(STUDY, "phase2", key=trial.key, token=token, cause="oom", error="out of memory")
    ledger.studies.stop_cell(STUDY, "phase2", cell=cell_of(trial), reason="bad_data: torn")
    return trial


def set_version(path: Path, version: int) -> None:
    """Make a ledger's file say that it is of this version, as another nefstudy would have left it."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE ledger_schema SET version = ?", (version,))


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """An empty ledger on disk."""
    with Ledger.open(str(tmp_path / "ledger.db"), patience_s=1.0) as opened:
        yield opened


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Ledger, Path, list[str]]]:
    """A ledger with the study, read by many tests and written by none; its root; keys of its complete trials."""
    root = tmp_path_factory.mktemp("root")
    (root / PICTURE).parent.mkdir()
    Image.new("L", (8, 8), 200).save(root / PICTURE)
    with Ledger.open(str(root / "ledger.db"), patience_s=1.0) as writer:
        keys = fill_study(writer)
        writer.leases.acquire(STUDY, Owner.here(), lease_s=600)
    with Ledger.open(str(root / "ledger.db"), read_only=True, patience_s=1.0) as opened:
        yield opened, root, keys


class Client:
    """Asks an ASGI application without a socket; its faults come back as answers."""

    def __init__(self, app: Any, *, headers: dict[str, str], address: str = "127.0.0.1") -> None:
        self.app = app
        self._address = address
        self._headers = headers

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(self.app, raise_app_exceptions=False, client=(self._address, 5000))
            base = {"base_url": "http://127.0.0.1", "headers": self._headers}
            async with httpx.AsyncClient(transport=transport, **base) as client:
                return await client.request(method, path, **options)

        return asyncio.run(ask())

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        return self.request("POST", path, **options)


ClientOf = Callable[..., Client]


@pytest.fixture
def client_of() -> ClientOf:
    """Makes a client of the service over a ledger."""

    def make(ledger: Ledger, *, root: Path | None = None, token: str | None = None, sent: str | None = None) -> Client:
        headers = {} if sent is None else {"Authorization": f"Bearer {sent}"}
        return Client(create_app(ledger, token=token, root=root), headers=headers)

    return make


@pytest.fixture
def client(filled: tuple[Ledger, Path, list[str]], client_of: ClientOf) -> Client:
    """A client of the service over the filled ledger, without a token."""
    ledger, root, _ = filled
    return client_of(ledger, root=root)


@pytest.fixture
def keys(filled: tuple[Ledger, Path, list[str]]) -> list[str]:
    """Keys of the complete trials."""
    return filled[2]


@pytest.fixture(scope="module")
def browser() -> Iterator:
    """Headless Chromium of the system."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=SOON_MS)
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def opened(browser) -> Iterator:
    """Opens pages, and fails the test if any of them complains to its console."""
    pages: list[Any] = []
    complaints: list[str] = []

    def open_page(url: str, *, viewport: dict | None = None, scheme: str = "light", **options) -> Any:
        page = browser.new_page(viewport=viewport or WIDE, color_scheme=scheme, **options)
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(url)
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        page.close()
    assert complaints == []


@pytest.fixture(scope="module")
def served(filled) -> Iterator[str]:
    """The address of a service over the filled ledger."""
    with Served(create_app(filled[0], root=filled[1])) as running:
        yield running.url


@pytest.fixture(scope="module")
def explored(tmp_path_factory) -> Iterator[str]:
    """The address of a service over forty trials of a search, enough to say which parameters matter."""
    with Ledger.open(str(tmp_path_factory.mktemp("explored") / "ledger.db")) as ledger:
        ledger.studies.put(STUDY, SEARCHED, cells=as_cells({("phase1", CELLS[0]): 60}))
        for number in range(40):
            init = "shared" if number % 3 else "random"
            steps, lr = (5, 25, 75, 200)[number % 4], 10 ** (-4 + number % 11 / 5)
            run_trial(ledger, "phase1", trial_config(CELLS[0], init=init, steps=steps, lr=lr, hidden=8 + 2 * number))
        with Served(create_app(ledger)) as running:
            yield running.url
