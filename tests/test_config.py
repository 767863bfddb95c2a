"""Laws of configurations: the digest is that of what the configuration says now."""

from nefstudy.config import FieldConfig, NeuralDatasetConfig, SignalsConfig


def test_a_changed_copy_has_a_digest_of_its_own():
    """Whether or not the original's digest was asked for before, a copy's is that of the same values made anew."""
    made = {"signals": SignalsConfig(name="digits8"), "field": FieldConfig(name="siren"), "init": "shared"}
    original = NeuralDatasetConfig(**made)
    before = original.digest
    changed = original.model_copy(update={"seed": 7})
    assert changed.digest == NeuralDatasetConfig(**made, seed=7).digest != before
    assert original.digest == before
