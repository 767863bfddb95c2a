"""Digests are kept: a trial of today is found by the ledger of tomorrow."""

import json
from pathlib import Path
from typing import ClassVar

import pytest

from nefstudy.config import Config, parse
from nefstudy.tasks.catalog import TASKS

KEPT = json.loads(Path(__file__).with_name("digests.json").read_text())
"""Configurations and their digests. Until the first release an entry changes only with a reason in the commit."""


@pytest.mark.parametrize("kept", KEPT, ids=lambda kept: kept["digest"])
def test_a_configuration_keeps_its_digest(kept: dict) -> None:
    """Read as its task reads it, with every default filled in."""
    config = parse(TASKS[kept["config"]["task"]].config, kept["config"], where="kept")
    assert config.digest == kept["digest"]
    assert (
        config.model_dump()["dataset"]
        == parse(type(config), config.canonical_json(), where="x").model_dump()["dataset"]
    )
    assert config.dataset.digest == kept["dataset"]


def test_every_task_has_kept_digests() -> None:
    """A new task extends the list."""
    assert {kept["config"]["task"] for kept in KEPT} == set(TASKS)


def test_a_late_key_changes_no_digest_while_it_has_its_default() -> None:
    """And is part of the digest as soon as it has another value."""

    class Before(Config):
        width: int = 3

    class After(Before):
        late: ClassVar[frozenset[str]] = frozenset({"depth"})
        depth: int = 1

    assert After(width=5).digest == Before(width=5).digest
    assert After(width=5, depth=2).digest != Before(width=5).digest
    assert parse(After, After(depth=2).canonical_json(), where="x") == After(depth=2)
    assert parse(After, After().canonical_json(), where="x") == After()
