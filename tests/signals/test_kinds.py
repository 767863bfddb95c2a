"""Laws of kinds of signals: one value holds all that differs, for the kinds that ship and for a user's."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

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
from nefstudy.signals.signal import Quality, SignalKind, Signals
from nefstudy.signals.signal_set import signal_set

CLIPS, POINTS = 6, 32


def loudness(signals: Signals, predict) -> dict[str, np.ndarray]:
    """PSNR of each clip, and its largest error."""
    truth = signals.originals()
    predicted = predict(signals.coordinates())
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


def clips(config: SignalsConfig, *, kind: SignalKind = AUDIO, **given: object) -> Signals:
    """Sines of several pitches, without classes and without a split."""
    time = np.linspace(-1, 1, POINTS, dtype=np.float32)
    waves = np.stack([0.5 + 0.4 * np.sin(3 * pitch * time) for pitch in range(1, CLIPS + 1)])[..., None]
    return signal_set(waves, kind=kind, config=config, license="none", source="computed", **given)


SOURCES = {"clips": clips}
CONFIG = SignalsConfig(name="clips")


def fitted(root: Path):
    """The clips, and a neural dataset of them at 0 and 200 steps."""
    signals = load_signals(CONFIG, sources=SOURCES)
    field = FieldConfig(name="siren", params={"hidden": 16})
    recipe = NeuralDatasetConfig(signals=CONFIG, field=complete(field), init="random")
    config = FitConfig(dataset=recipe, rungs=(0, 200), engine="eager")
    network = build(recipe.field, in_dim=signals.in_dim, out_dim=signals.out_dim)
    write_neural_dataset(config, signals, str(root), field=network)
    return signals, finish_neural_dataset(config, signals, str(root), field=network)


def test_a_users_kind_is_fitted_measured_and_read_back(tmp_path: Path):
    """Clips of one axis, unlabeled and unsplit: fits raise PSNR, and the files alone reconstruct them."""
    signals, made = fitted(tmp_path)
    dataset = open_neural_dataset(str(tmp_path), made.digest)
    assert dataset.manifest.card == signals.card
    assert (dataset.manifest.card.kind, dataset.manifest.quality) == ("audio", AUDIO.metrics)
    first, last = dataset.rung(0), dataset.rung(200)
    assert (last.quality["psnr"] > first.quality["psnr"] + 3).all()
    assert (last.quality["peak_error"] < first.quality["peak_error"]).all()
    assert set(last.labels.tolist()) == set(last.split.tolist()) == {-1}
    for place in range(CLIPS):
        again = dataset.reconstruct(int(signals.ids[place]), steps=200)[None]
        np.testing.assert_allclose(psnr(again, signals.values[[place]]), last.quality["psnr"][place], rtol=1e-5)


def test_a_set_without_labels_or_split_has_seeded_subsets_and_a_summary():
    """Subsets contain smaller ones, down to a single signal; nothing is counted by class."""
    whole = load_signals(CONFIG, sources=SOURCES)
    for count in (1, 3, CLIPS):
        part = load_signals(CONFIG.model_copy(update={"subset": count}), sources=SOURCES)
        np.testing.assert_array_equal(part.ids, whole.ids[:count])
    found = summary(CONFIG, sources=SOURCES)
    assert (found["classes"], found["split"], found["baseline_test_accuracy"]) == ([], {"all": CLIPS}, None)


def test_what_a_set_lacks_is_named_by_what_needs_it():
    """Labels, a split and pictures: each refusal names the data set, what is missing and the next step."""
    signals = load_signals(CONFIG, sources=SOURCES)
    named = replace(signals, labels=np.zeros(CLIPS, dtype=np.int64))
    for call, says in (
        (lambda: signals.labels_and_split("a classifier"), "signals 'clips' have no labels, which a classifier needs"),
        (
            lambda: named.labels_and_split("a classifier"),
            "signals 'clips' have no split, which a classifier needs; pass",
        ),
        (lambda: class_sheet(signals), "signals 'clips' are clips, which have no pictures"),
    ):
        with pytest.raises(BadSignals, match=says) as refused:
            call()
        assert "\n" not in str(refused.value)


def test_a_split_needs_no_labels():
    """Signals without classes keep the split that they are given, completed by validation."""
    split = np.array([0, 0, 0, 0, 2, 2])
    signals = clips(CONFIG, split=split)
    np.testing.assert_array_equal(np.bincount(signals.split), [3, 1, 2])
    with pytest.raises(BadSignals, match=r"class names are .* but there are no labels"):
        clips(CONFIG, class_names=("a", "b"))


def test_equal_values_of_two_kinds_are_two_contents():
    """Another kind's name is other content, since it may be fitted differently; the words of a kind are not content."""
    hashes = {clips(CONFIG, kind=kind).card.content_hash for kind in (AUDIO, replace(AUDIO, label="Sound"))}
    assert len(hashes) == 1
    for change in ({"name": "seismogram"}, {"loss": "bce"}, {"name": "image", "step_points": 8}):
        hashes.add(clips(CONFIG, kind=replace(AUDIO, **change)).card.content_hash)
    assert len(hashes) == 4


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"axes": 2}, r"grid \(32,\) has 1 axes; clips have 2: correct it, or the kind"),
        ({"sampled": True}, "clips come with samples"),
        ({"loss": "bce"}, "the card says kind 'audio' with mse, the signals 'audio' with bce"),
        ({"name": "sound"}, "the card says kind 'audio' with mse, the signals 'sound' with mse"),
    ],
)
def test_signals_that_do_not_fit_their_kind_are_refused(change: dict, says: str):
    """Arrays and cards that are not their kind's are refused before any fitting."""
    wrong = replace(clips(CONFIG), kind=replace(AUDIO, **change))
    with pytest.raises(BadSignals, match=says):
        load_signals(CONFIG, sources={"clips": lambda _: wrong})


def test_a_kind_measures_what_it_declares(tmp_path: Path):
    """Measures that leave out a declared metric are refused, both named."""
    signals, dataset = fitted(tmp_path)
    quiet = replace(signals, kind=replace(AUDIO, quality=(*AUDIO.quality, Quality("snr", "SNR", unit="dB"))))
    rows = dataset.rung(200).parameters
    with pytest.raises(
        BadConfig, match="declares psnr, peak_error, snr and measures psnr, peak_error; make them equal"
    ):
        quality_columns(dataset.field, quiet, rows, places=np.arange(CLIPS))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"loss": "l1"}, "'l1'"),
        ({"quality": ()}, r"kind 'audio' has metrics \(\); give one or more"),
        ({"quality": AUDIO.quality * 2}, "each name once"),
    ],
)
def test_kinds_that_cannot_be_fitted_or_measured_are_refused(change: dict, says: str):
    """Unknown losses and missing or repeated metrics are refused where the kind is made."""
    with pytest.raises((BadConfig, TypeError), match=says):  # types first, where the tests check them
        replace(AUDIO, **change)


def test_a_metric_cannot_take_the_name_of_a_column():
    """Names of columns that every shard has are refused."""
    with pytest.raises(BadConfig, match="quality metric 'split' has the name of another column"):
        shard_schema(3, ("psnr", "split"), digest="0" * 20, steps=1, index=0)


def test_shipped_kinds_have_the_words_that_figures_need():
    """Every kind is filed under its name; its metrics have labels, and one name each."""
    for name, kind in KINDS.items():
        assert kind.name == name
        assert len(set(kind.metrics)) == len(kind.metrics) > 0
        assert all(metric.label for metric in kind.quality)
    assert (IMAGE.quality[0].unit, KINDS["shape"].quality[0].domain) == ("dB", (0.0, 1.0))
    assert IMAGE.has_psnr
    assert not KINDS["shape"].has_psnr
