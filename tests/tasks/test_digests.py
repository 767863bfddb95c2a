"""Tests of digests: they never change, so that later versions still find the trials in existing ledgers."""

import json
from pathlib import Path
from typing import ClassVar

import pytest

from nefstudy.config import Config, SignalsConfig, parse
from nefstudy.tasks.catalog import TASKS

from ..stub_tasks import digests_of

KEPT = json.loads(Path(__file__).with_name("digests.json").read_text())
"""Configurations with their digest and the digests of the neural datasets that they need, which may be none.

Until the first release an entry changes only with a reason in the commit.
"""


@pytest.mark.parametrize("kept", KEPT, ids=lambda kept: kept["digest"])
def test_a_configuration_keeps_its_digest(kept: dict) -> None:
    """A recorded configuration keeps its digest when its task reads it, even after a JSON round trip."""
    config = parse(TASKS[kept["config"]["task"]].config, kept["config"], where="kept")
    assert config.digest == kept["digest"]
    assert config.model_dump() == parse(type(config), config.canonical_json(), where="x").model_dump()
    assert list(digests_of(config)) == kept["datasets"]


def test_every_task_has_recorded_digests() -> None:
    """There are recorded configurations for every task."""
    assert {kept["config"]["task"] for kept in KEPT} == set(TASKS)


def test_a_late_key_changes_no_digest_while_it_has_its_default() -> None:
    """A key that was added later is part of the digest only if its value is not the default."""

    class Before(Config):
        width: int = 3

    class After(Before):
        late: ClassVar[frozenset[str]] = frozenset({"depth"})
        depth: int = 1

    assert After(width=5).digest == Before(width=5).digest
    assert After(width=5, depth=2).digest != Before(width=5).digest
    assert parse(After, After(depth=2).canonical_json(), where="x") == After(depth=2)
    assert parse(After, After().canonical_json(), where="x") == After()


def test_leaving_out_test_signals_is_part_of_the_digest():
    """Signals without test signals are another experiment; with them, the key is absent from the JSON."""
    tested, searched = SignalsConfig(name="mnist5k"), SignalsConfig(name="mnist5k", without_test=True)
    assert "without_test" not in tested.canonical_json()
    assert SignalsConfig(name="mnist5k", without_test=False).digest == tested.digest
    assert searched.digest != tested.digest
    assert parse(SignalsConfig, searched.canonical_json(), where="x") == searched
