"""Tests of configurations: a digest always matches the current values."""

import json
from typing import ClassVar, Literal

from pydantic import Field

from nefstudy.config import FieldConfig, NeuralDatasetConfig, SignalsConfig, TrialConfig


def test_a_changed_copy_has_a_new_digest():
    """The digest of a changed copy matches the copy's values, even if the original's digest was cached."""
    made = {"signals": SignalsConfig(name="digits8"), "field": FieldConfig(name="siren"), "init": "shared"}
    original = NeuralDatasetConfig(**made)
    before = original.digest
    changed = original.model_copy(update={"seed": 7})
    assert changed.digest == NeuralDatasetConfig(**made, seed=7).digest != before
    assert original.digest == before


class Worded(TrialConfig):
    """A configuration with sets of words, and with keys that a later version added."""

    task: Literal["worded"] = "worded"
    words: frozenset[str] = frozenset()
    groups: dict[str, tuple[frozenset[str], ...]] = {}  # noqa: RUF012 - pydantic copies defaults
    late: ClassVar[frozenset[str]] = frozenset({"more", "names"})
    more: dict[str, int] = {}  # noqa: RUF012 - as above
    names: tuple[str, ...] = Field(default_factory=lambda: ("a",))


def test_a_set_has_one_json_text_in_every_process():
    """Sets are sorted in JSON, so that a digest is the same in every process.

    Python's iteration order of sets varies by process.
    """
    words = frozenset(f"word-{number}" for number in range(30))
    found = json.loads(Worded(words=words, groups={"g": (words, words)}).canonical_json())
    assert found["words"] == sorted(words)
    assert found["groups"] == {"g": [sorted(words), sorted(words)]}


def test_a_late_key_with_a_made_default_is_left_out_too():
    """A key that a later version added is left out of the JSON if it has its default value.

    This includes a default that a factory creates.
    """
    assert set(json.loads(Worded().canonical_json())) == {"groups", "seed", "task", "words"}
    assert json.loads(Worded(names=("b",)).canonical_json())["names"] == ["b"]
