"""A small study in a real ledger, and clients of a service on that ledger."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from nefstudy.ledger import Ledger, Owner
from nefstudy.ledger.sql import database
from nefstudy.service import snapshot
from nefstudy.service.app import create_app

from ..ledger.records import as_cells
from .client import Client, ClientOf, make_client
from .served import CHROMIUM, WIDE, Served
from .small_study import CELLS, PICTURE, STUDY, fill_study, run_trial, trial_config

SEARCHED = {
    "cells": [
        {
            "phase": "phase1", "cell": CELLS[0], "planned": 60, "sampler": {"name": "Tpe"},
            "space": {
                "init": {"kind": "Categorical", "values": ["random", "shared"]},
                "steps": {"kind": "Categorical", "values": [5, 25, 75, 200]},
                "hidden": {"kind": "Whole", "low": 8, "high": 128, "log": True, "multiple": 1},
            },
        }
    ]
}  # fmt: skip
"""A plan with one searched cell."""
EXPECT_MS = 30_000  # the page polls every four seconds; a busy machine may take longer


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """Yield an empty ledger on disk."""
    with Ledger.open(str(tmp_path / "ledger.db"), timeout_s=1.0) as opened:
        yield opened


@pytest.fixture
def check_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Check the ledger's version for every request instead of periodically, and disable caching."""
    monkeypatch.setattr(database, "CHECK_S", 0.0)
    monkeypatch.setattr(snapshot, "FRESH_S", 0.0)
    monkeypatch.setattr(snapshot, "FRESH_FACTOR", 0)


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Ledger, Path, list[str]]]:
    """Yield the filled study's read-only ledger, its root, and the keys of its complete trials."""
    root = tmp_path_factory.mktemp("root")
    (root / PICTURE).parent.mkdir()
    Image.new("L", (8, 8), 200).save(root / PICTURE)
    with Ledger.open(str(root / "ledger.db"), timeout_s=1.0) as writer:
        keys = fill_study(writer)
        writer.leases.acquire(STUDY, Owner.current(), lease_s=600)
    with Ledger.open(str(root / "ledger.db"), read_only=True, timeout_s=1.0) as opened:
        yield opened, root, keys


@pytest.fixture
def client_of() -> ClientOf:
    """Return a function that makes a client for a service on a ledger."""
    return make_client


@pytest.fixture
def client(filled: tuple[Ledger, Path, list[str]], client_of: ClientOf) -> Client:
    """Return a client for a service on the filled ledger, without a token."""
    ledger, root, _ = filled
    return client_of(ledger, root=root)


@pytest.fixture
def keys(filled: tuple[Ledger, Path, list[str]]) -> list[str]:
    """Return the keys of the complete trials."""
    return filled[2]


@pytest.fixture(scope="module")
def browser() -> Iterator:
    """Yield the system's headless Chromium browser."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=EXPECT_MS)
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def opened(browser) -> Iterator:
    """Yield a function that opens a page of the service in the browser.

    Any error in the console of such a page fails the test.
    """
    pages: list[Any] = []
    errors: list[str] = []

    def open_page(url: str, *, viewport: dict | None = None, scheme: str = "light", **options) -> Any:
        page = browser.new_page(viewport=viewport or WIDE, color_scheme=scheme, **options)
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(url)
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        page.close()
    assert errors == []


@pytest.fixture(scope="module")
def served(filled) -> Iterator[str]:
    """Yield the address of a service on the filled ledger."""
    with Served(create_app(filled[0], root=filled[1])) as running:
        yield running.url


@pytest.fixture(scope="module")
def explored(tmp_path_factory) -> Iterator[str]:
    """Yield the address of a service on a ledger of forty search trials, enough to compute parameter importance."""
    with Ledger.open(str(tmp_path_factory.mktemp("explored") / "ledger.db")) as ledger:
        ledger.studies.put(STUDY, SEARCHED, cells=as_cells({("phase1", CELLS[0]): 60}))
        for number in range(40):
            init = "shared" if number % 3 else "random"
            steps, lr = (5, 25, 75, 200)[number % 4], 10 ** (-4 + number % 11 / 5)
            run_trial(ledger, "phase1", trial_config(CELLS[0], init=init, steps=steps, lr=lr, hidden=8 + 2 * number))
        with Served(create_app(ledger)) as running:
            yield running.url
