"""Tests of built-in and user-defined kinds of signals."""

from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

import nefstudy
from nefstudy.config import FieldConfig, FitConfig, NeuralDatasetConfig, SignalsConfig
from nefstudy.errors import BadConfig, BadSignals
from nefstudy.evaluation.reconstruction import psnr
from nefstudy.fields.catalog import build, complete
from nefstudy.neural_dataset.quality import quality_columns
from nefstudy.neural_dataset.read import open_neural_dataset
from nefstudy.neural_dataset.schema import shard_schema
from nefstudy.neural_dataset.write import finish_neural_dataset, write_neural_dataset
from nefstudy.signals.catalog import load_signals
from nefstudy.signals.kinds import IMAGE, KINDS
from nefstudy.signals.show import class_sheet, summary
from nefstudy.signals.signal import LOGIT_LOSSES, LossName, Quality, SignalKind, Signals
from nefstudy.signals.signal_set import signal_set

from ..present import present

CLIPS, POINTS = 6, 32


def loudness(signals: Signals, predict) -> dict[str, np.ndarray]:
    """Return each clip's PSNR and largest error."""
    truth = signals.originals()
    predicted = predict(signals.grid_coords())
    return {"psnr": psnr(predicted, truth), "peak_error": np.abs(predicted - truth).max(axis=(1, 2))}


AUDIO = SignalKind(
    name="audio",
    label="Audio",
    nouns="clips",
    loss="mse",
    quality=(Quality("psnr", "PSNR", unit="dB"), Quality("peak_error", "Peak error", direction="minimize")),
    measure=loudness,
    axes=1,
)


def clips(config: SignalsConfig, *, kind: SignalKind = AUDIO, **given: Any) -> Signals:
    """Return sine waves of several pitches as a set of signals without classes or a split."""
    time = np.linspace(-1, 1, POINTS, dtype=np.float32)
    sines = np.stack([0.5 + 0.4 * np.sin(3 * pitch * time) for pitch in range(1, CLIPS + 1)])[..., None]
    return signal_set(sines, kind=kind, config=config, license="none", source="computed", **given)


SOURCES = {"clips": clips}
CONFIG = SignalsConfig(name="clips")


def fitted(root: Path):
    """Return the clips, and a neural dataset fitted to them for 0 and 200 steps."""
    signals = load_signals(CONFIG, sources=SOURCES)
    field = FieldConfig(name="siren", params={"hidden": 16})
    recipe = NeuralDatasetConfig(signals=CONFIG, field=complete(field), init="random")
    config = FitConfig(dataset=recipe, rungs=(0, 200), engine="eager")
    network = build(recipe.field, in_dim=signals.in_dim, out_dim=signals.out_dim)
    write_neural_dataset(config, signals, str(root), field=network)
    return signals, finish_neural_dataset(config, signals, str(root), field=network)


def test_a_user_kind_is_fitted_measured_and_read_back(tmp_path: Path):
    """Clips of a user-defined kind are fitted, measured and reconstructed from their files.

    The clips have one axis and neither labels nor a split. Fitting raises their PSNR.
    """
    signals, made = fitted(tmp_path)
    dataset = open_neural_dataset(str(tmp_path), made.digest)
    assert dataset.manifest.card == signals.card
    assert (dataset.manifest.card.kind, dataset.manifest.quality) == ("audio", AUDIO.metrics)
    first, last = dataset.rung(0), dataset.rung(200)
    assert (last.quality["psnr"] > first.quality["psnr"] + 3).all()
    assert (last.quality["peak_error"] < first.quality["peak_error"]).all()
    assert set(last.labels.tolist()) == set(last.split.tolist()) == {-1}
    for row in range(CLIPS):
        again = dataset.reconstruct(int(signals.ids[row]), steps=200)[None]
        np.testing.assert_allclose(psnr(again, signals.values[[row]]), last.quality["psnr"][row], rtol=1e-5)


def test_a_set_without_labels_or_split_has_seeded_subsets_and_a_summary():
    """In a set without labels or split, a subset contains all smaller subsets, down to a single signal.

    The summary of such a set has no counts per class.
    """
    whole = load_signals(CONFIG, sources=SOURCES)
    for count in (1, 3, CLIPS):
        part = load_signals(CONFIG.model_copy(update={"subset": count}), sources=SOURCES)
        np.testing.assert_array_equal(part.ids, whole.ids[:count])
    row = summary(CONFIG, sources=SOURCES)
    assert (row["classes"], row["split"], row["baseline_test_accuracy"]) == ([], {"all": CLIPS}, None)


def test_a_missing_part_of_a_set_is_named():
    """If required labels, splits or pictures are missing, the error names the set and what is missing."""
    signals = load_signals(CONFIG, sources=SOURCES)
    named = replace(signals, labels=np.zeros(CLIPS, dtype=np.int64))
    for call, says in (
        (lambda: signals.labels_and_split("a classifier"), "'clips' .*labels, .*a classifier"),
        (
            lambda: named.labels_and_split("a classifier"),
            "'clips' .*split, .*a classifier",
        ),
        (lambda: class_sheet(signals), "'clips' .*pictures"),
    ):
        with pytest.raises(BadSignals, match=says) as refused:
            call()
        assert "\n" not in str(refused.value)


def test_a_split_needs_no_labels():
    """Signals without labels can have a split; if it lacks a validation part, training signals are moved there."""
    split = np.array([0, 0, 0, 0, 2, 2])
    signals = clips(CONFIG, split=split)
    np.testing.assert_array_equal(np.bincount(present(signals.split)), [3, 1, 2])
    with pytest.raises(BadSignals, match=r"class names .*labels"):
        clips(CONFIG, class_names=("a", "b"))


def test_equal_values_of_two_kinds_have_different_hashes():
    """The content hash covers the attributes of a kind that affect fits, but not its label."""
    hashes = {clips(CONFIG, kind=kind).card.content_hash for kind in (AUDIO, replace(AUDIO, label="Sound"))}
    assert len(hashes) == 1
    for change in ({"name": "seismogram"}, {"loss": "bce"}, {"name": "image", "step_points": 8}):
        hashes.add(clips(CONFIG, kind=replace(AUDIO, **change)).card.content_hash)
    assert len(hashes) == 4


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"axes": 2}, r"\(32,\) .*1 .*clips .*2"),
        ({"sampled": True}, "clips .*samples"),
        ({"loss": "bce"}, "'audio' .*mse, .*'audio' .*bce"),
        ({"name": "sound"}, "'audio' .*mse, .*'sound' .*mse"),
    ],
)
def test_signals_that_do_not_match_their_kind_are_refused(change: dict, says: str):
    """Arrays and cards that contradict their kind are rejected before any fitting."""
    wrong = replace(clips(CONFIG), kind=replace(AUDIO, **change))
    with pytest.raises(BadSignals, match=says):
        load_signals(CONFIG, sources={"clips": lambda _: wrong})


def test_a_kind_must_measure_the_metrics_it_declares(tmp_path: Path):
    """If a kind's `measure` omits a declared metric, the error lists the declared and the measured metrics."""
    signals, dataset = fitted(tmp_path)
    quiet = replace(signals, kind=replace(AUDIO, quality=(*AUDIO.quality, Quality("snr", "SNR", unit="dB"))))
    rows = dataset.rung(200).parameters
    with pytest.raises(BadConfig, match=r"psnr, peak_error, snr .*psnr, peak_error"):
        quality_columns(dataset.field, quiet, rows, rows=np.arange(CLIPS))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"loss": "l1"}, "'l1'"),
        ({"quality": ()}, r"'audio' .*\(\); .*one"),
        ({"quality": AUDIO.quality * 2}, "distinct"),
    ],
)
def test_invalid_kinds_are_refused(change: dict, says: str):
    """Unknown losses and missing or repeated metrics are rejected when the kind is created."""
    with pytest.raises((BadConfig, TypeError), match=says):  # types first, where the tests check them
        replace(AUDIO, **change)


def test_a_metric_cannot_take_the_name_of_a_column():
    """A metric is rejected if it has the name of a column that every shard contains."""
    with pytest.raises(BadConfig, match="'split'"):
        shard_schema(3, ("psnr", "split"), digest="0" * 20, steps=1, index=0)


def test_built_in_kinds_have_the_labels_that_figures_need():
    """Every built-in kind is cataloged under its own name.

    Its metrics have labels and distinct names.
    """
    for name, kind in KINDS.items():
        assert kind.name == name
        assert len(set(kind.metrics)) == len(kind.metrics) > 0
        assert all(metric.label for metric in kind.quality)
    assert (IMAGE.quality[0].unit, KINDS["shape"].quality[0].domain) == ("dB", (0.0, 1.0))
    assert IMAGE.has_psnr
    assert not KINDS["shape"].has_psnr


def test_a_new_loss_is_a_change_of_the_listed_files() -> None:
    """Only the built-in kinds and the files that CONTRIBUTING lists for a new loss name a loss of logits."""
    package = Path(nefstudy.__file__).parent
    assert {"bce"} == LOGIT_LOSSES < set(get_args(LossName))
    naming = {path.relative_to(package).as_posix() for path in package.rglob("*.py") if '"bce"' in path.read_text()}
    listed = {
        "signals/signal.py",
        "fields/loss.py",
        "fitting/engines/fused/linear.py",
        "fitting/engines/native/engine.py",
    }
    assert naming == {"signals/kinds.py", *listed}
    extending = (package.parent / "CONTRIBUTING.md").read_text().partition("## Extending")[2]
    (row,) = (line for line in extending.splitlines() if line.startswith("| a kind of signal |"))
    assert [path for path in listed if path not in row] == []
