"""Tests of user-defined kinds of signals: the error for each mistake names the kind and what is allowed."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from nefstudy.config import FieldConfig, SignalsConfig
from nefstudy.errors import BadConfig, BadSignals
from nefstudy.fields.catalog import build
from nefstudy.inits.drawn import RandomInit
from nefstudy.neural_dataset.quality import quality_columns
from nefstudy.signals.catalog import load_signals
from nefstudy.signals.kinds import IMAGE, KINDS
from nefstudy.signals.signal import Quality, SignalKind, Signals
from nefstudy.signals.signal_set import signal_set

CONFIG = SignalsConfig(name="clips")


def zeros(signals: Signals, _predict: Any) -> Mapping[str, np.ndarray]:
    return {"error": np.zeros(len(signals))}


CLIP = SignalKind(
    name="clip", label="Clip", nouns="clips", loss="mse", quality=(Quality("error", "Error"),), measure=zeros, axes=1
)


def clips(kind: SignalKind) -> Signals:
    """Return four clips of eight points."""
    waves = np.random.default_rng(0).uniform(0, 1, (4, 8, 1)).astype(np.float32)
    source = lambda config: signal_set(waves, kind=kind, config=config, license="none", source="computed")  # noqa: E731
    return load_signals(CONFIG, sources={"clips": source})


def measured(measure: Any) -> Mapping[str, np.ndarray]:
    signals = clips(replace(CLIP, measure=measure))
    field = build(FieldConfig(name="siren", params={"hidden": 4}), in_dim=1, out_dim=1)
    parameters = RandomInit().rows(field, seed=0, ids=range(4), view=0)
    return quality_columns(field, signals, parameters, rows=np.arange(4))


def test_a_kind_measures_one_number_for_each_signal() -> None:
    """A kind's `measure` is rejected if it does not return one number per signal."""
    assert measured(zeros)["error"].tolist() == [0, 0, 0, 0]
    for wrong in (0.0, np.zeros(3), np.zeros((4, 1))):
        with pytest.raises(BadConfig, match=rf"'clip' .*error .*{re.escape(str(np.shape(wrong)))}; "):
            measured(lambda _signals, _predict, wrong=wrong: {"error": wrong})


@pytest.mark.parametrize(("found", "named"), [({}, "nothing"), ({"psnr": np.zeros(4)}, "psnr")])
def test_a_kind_measures_what_it_declares_and_no_more(found: Mapping[str, np.ndarray], named: str) -> None:
    """A kind's `measure` is rejected if it returns metrics other than those that the kind declares."""
    with pytest.raises(BadConfig, match=f"'clip' .*error .*{named}; "):
        measured(lambda _signals, _predict: found)


@pytest.mark.parametrize("shape", [(3, 3), (3, 3, 2), ()])
def test_a_picture_has_height_width_and_channels(shape: tuple[int, ...]) -> None:
    """A picture that does not have a height, a width and 1, 3 or 4 channels is rejected."""
    drawn = clips(replace(CLIP, picture=lambda _values, _coords: np.zeros((3, 3, 1))))
    assert drawn.pictures(np.arange(2)).shape == (2, 3, 3, 1)
    wrong = clips(replace(CLIP, picture=lambda _values, _coords: np.zeros(shape)))
    with pytest.raises(BadConfig, match=rf"'clip': .*{re.escape(str(shape))}; .*1, 3 or 4"):
        wrong.pictures(np.arange(2))


@pytest.mark.parametrize("name", ["", "a/b", "two words", "../up"])
def test_a_kind_has_a_name_like_a_study(name: str) -> None:
    """The name of a kind must follow the rules for names of studies."""
    with pytest.raises(BadConfig, match=r"kind .*1 to 100 letters"):
        replace(CLIP, name=name)


@pytest.mark.parametrize("name", ["", "signal noise", "2nd", "acc@1", "x" * 65])
def test_a_metric_has_a_name_that_can_be_asked_for(name: str) -> None:
    """The name of a metric must be usable in REST requests, figures and filters."""
    with pytest.raises(BadConfig, match=r"metric .*1 to 64 letters"):
        Quality(name, "Label")


@pytest.mark.parametrize("name", KINDS)
def test_the_name_of_a_kind_that_ships_is_taken(name: str) -> None:
    """A user-defined kind cannot have the name of a built-in kind, since both would share neural datasets."""
    other = replace(CLIP, name=name)
    with pytest.raises(BadSignals, match=f"'{name}' "):
        clips(other)
    assert replace(IMAGE) == KINDS["image"], "a copy from another process is the same kind"


def test_a_source_returns_signals() -> None:
    """If a source does not return Signals, the error names the functions that make them."""
    with pytest.raises(BadConfig, match=r"'clips': .*ndarray; .*Signals"):
        load_signals(CONFIG, sources={"clips": lambda _config: np.zeros((4, 8, 1))})  # type: ignore[dict-item,return-value]
