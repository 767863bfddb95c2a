"""Tests of writing: the recipe determines the bytes, and no shard is fitted twice."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from nefstudy.errors import BadNeuralDataset, BadRoot, BadSignals
from nefstudy.fields.catalog import build
from nefstudy.fitting.fit import fit_fields
from nefstudy.neural_dataset.read import find_neural_dataset, open_neural_dataset
from nefstudy.neural_dataset.write import Written, write_neural_dataset
from nefstudy.signals.kinds import IMAGE

NewDesk = Callable[[str], Any]


def test_what_is_written_is_what_was_fitted(desk) -> None:
    """Parameters, labels, ids, views and splits are read back bit-identical, view by view in the signals' order."""
    desk.make()
    dataset = open_neural_dataset(str(desk.root), desk.digest)
    assert dataset.rungs == (0, 3)
    everyone = np.arange(46)
    fits = [fit_fields(desk.field, desk.signals, desk.config, rows=everyone, view=view) for view in (0, 1)]
    for i, steps in enumerate(dataset.rungs):
        rung = dataset.rung(steps)
        expected = np.concatenate([fit.parameters[i].numpy() for fit in fits])
        assert rung.parameters.numpy().tobytes() == expected.tobytes()
        assert rung.ids.tolist() == desk.signals.ids.tolist() * 2
        assert rung.labels.tolist() == desk.signals.labels.tolist() * 2
        assert rung.split.tolist() == desk.signals.split.tolist() * 2
        assert rung.views.tolist() == [0] * 46 + [1] * 46
        assert not rung.diverged.any()


@pytest.mark.parametrize("world", [1, 2, 3])
@pytest.mark.parametrize("chunk", [2, 3, 64])
def test_any_world_and_chunk_writes_the_same_bytes(desk, new_desk: NewDesk, world: int, chunk: int) -> None:
    """Every file is the same for 1, 2 or 3 ranks, for ranks in reverse order, and for any chunk."""
    desk.make()
    other = new_desk("other")
    config = desk.config.model_copy(update={"chunk": chunk})
    for rank in reversed(range(world)):
        other.write(config=config, rank=rank, world=world)
    other.finish(config=config)
    assert other.files() == desk.files()


def test_another_seed_writes_other_bytes(desk, new_desk: NewDesk) -> None:
    """A different seed in the recipe results in different files."""
    desk.make()
    recipe = desk.config.dataset.model_copy(update={"seed": 1})
    other = replace(new_desk("other"), config=desk.config.model_copy(update={"dataset": recipe}))
    other.make()
    ours = desk.folder / "rung-00000003" / "shard-00000.arrow"
    theirs = other.folder / "rung-00000003" / "shard-00000.arrow"
    assert ours.read_bytes() != theirs.read_bytes()


def test_ranks_share_the_shards_without_overlap(desk) -> None:
    """Each shard is fitted by exactly one of three ranks."""
    assert [desk.write(rank=rank, world=3) for rank in range(3)] == [
        Written(fitted=4, reused=0, restarted=False),
        Written(fitted=3, reused=0, restarted=False),
        Written(fitted=3, reused=0, restarted=False),
    ]


def test_writing_again_fits_nothing(desk) -> None:
    """Writing a finished neural dataset again fits no shard and changes no file."""
    desk.make()
    before = desk.files()
    assert desk.write() == Written(fitted=0, reused=10, restarted=False)
    desk.finish()
    assert desk.files() == before


@pytest.mark.parametrize("lost", ["shard-00004.arrow", "shard-00004.json"])
def test_a_lost_shard_alone_is_fitted_again(desk, lost: str) -> None:
    """If a shard or its receipt is lost, resuming fits only that shard and restores the same bytes."""
    desk.make()
    before = desk.files()
    (desk.folder / "rung-00000003" / lost).unlink()
    assert desk.write() == Written(fitted=1, reused=9, restarted=False)
    desk.finish()
    assert desk.files() == before


def test_a_fit_killed_between_shards_resumes(desk, new_desk: NewDesk) -> None:
    """Resuming a stopped fit keeps its shards and writes the same files as an uninterrupted fit."""
    desk.make()
    other = new_desk("other")

    def stop(done: int, total: int, _: float) -> None:
        if done >= 34:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_neural_dataset(other.config, other.signals, str(other.root), field=other.field, on_progress=stop)
    assert find_neural_dataset(str(other.root), other.digest) is None
    with pytest.raises(BadNeuralDataset, match=r"shard-00003\.arrow .*missing"):
        other.finish()
    assert other.write() == Written(fitted=7, reused=3, restarted=False)
    other.finish()
    assert other.files() == desk.files()


def test_a_later_rung_is_added_to_the_others(desk, new_desk: NewDesk) -> None:
    """Fitting another step count keeps the existing rungs. The files equal those of fitting all rungs at once."""
    desk.make()
    assert desk.make(rungs=(3, 5)).rungs == (0, 3, 5)
    other = new_desk("other")
    other.make(rungs=(0, 3, 5))
    assert other.files() == desk.files()


def test_another_fingerprint_starts_over(desk) -> None:
    """If the fingerprint changes, the fit starts over: shards are replaced and other rungs are removed.

    The result states that the fit was restarted.
    """
    desk.make(threads=2, rungs=(0, 1))
    only = desk.config.model_copy(update={"rungs": (1,)})
    written = desk.write(config=only)
    assert written == Written(fitted=10, reused=0, restarted=True)
    assert find_neural_dataset(str(desk.root), desk.digest) is None
    assert desk.finish(config=only).rungs == (1,)
    assert not (desk.folder / "rung-00000000").exists()
    assert open_neural_dataset(str(desk.root), desk.digest).manifest.fingerprint["threads"] == "1"


def test_leftovers_of_a_killed_writer_are_swept(desk) -> None:
    """A partial file is not mistaken for a shard, and is removed when the neural dataset is finished."""
    desk.write()
    leftover = desk.folder / "rung-00000003" / "shard-00002.arrow.0123abcd.part"
    leftover.write_bytes(b"half")
    desk.finish().verify()
    assert not leftover.exists()


def test_progress_counts_the_fields_still_to_fit(desk) -> None:
    """A resumed fit reports progress over the missing fields only."""
    desk.make()
    (desk.folder / "rung-00000003" / "shard-00004.arrow").unlink()
    seen: list[tuple[int, int, float]] = []
    write_neural_dataset(
        desk.config, desk.signals, str(desk.root), field=desk.field, on_progress=lambda *now: seen.append(now)
    )
    assert [done for done, _, _ in seen] == [6]
    assert seen[-1][1] == 6
    assert 0 < seen[-1][2] < 60


def test_diverged_fields_are_flagged_in_every_column(desk) -> None:
    """A diverged field has NaN parameters and quality, but finite values at rungs before its divergence."""
    optimizer = desk.config.dataset.optimizer.model_copy(update={"name": "sgd", "lr": 1e9})
    field = desk.config.dataset.field.model_copy(update={"name": "mfn", "params": {"hidden": 4}})
    recipe = desk.config.dataset.model_copy(update={"optimizer": optimizer, "field": field})
    mine = replace(
        desk,
        config=desk.config.model_copy(update={"dataset": recipe, "rungs": (0, 25)}),
        field=build(field, in_dim=2, out_dim=1),
    )
    dataset = mine.make(rungs=(0, 25))
    first, last = dataset.rung(0), dataset.rung(25)
    assert not first.diverged.any()
    assert last.diverged.all()
    assert np.isnan(last.parameters.numpy()).all()
    assert all(np.isnan(values).all() for values in last.quality.values())
    assert all(np.isfinite(values).all() for values in first.quality.values())
    assert set(first.constant.tolist()) == {0}
    assert set(last.constant.tolist()) == {-1}
    assert ((last.diverged_at > 0) & (last.diverged_at <= 25)).all()


def test_signals_other_than_the_recipes_are_refused(desk) -> None:
    """Signals that do not match the content pinned in the recipe are rejected."""
    pinned = desk.config.dataset.signals.model_copy(update={"content": "f" * 64})
    recipe = desk.config.dataset.model_copy(update={"signals": pinned})
    with pytest.raises(BadSignals, match="f" * 12):
        desk.write(config=desk.config.model_copy(update={"dataset": recipe}))


def test_a_root_that_cannot_be_written_is_refused(desk) -> None:
    """A root that is a file is rejected with an error that names the file, which stays unchanged."""
    desk.root.write_text("a file")
    with pytest.raises(BadRoot, match=f"{desk.root}.*; .*root"):
        desk.write()
    assert desk.root.read_text() == "a file"


def test_other_quality_columns_are_fitted_again(desk) -> None:
    """If a kind has new quality metrics, all shards are fitted again, so that all rungs have the same columns."""
    short = replace(desk.signals.kind, quality=desk.signals.kind.quality[:1], measure=_psnr_alone)
    desk_before = replace(desk, signals=replace(desk.signals, kind=short))
    assert desk_before.make().manifest.quality == ("psnr",)
    written = desk.write(config=desk.config.model_copy(update={"rungs": (0, 3, 5)}))
    assert written.restarted
    assert written.fitted == 10
    dataset = desk.finish(config=desk.config.model_copy(update={"rungs": (0, 3, 5)}))
    assert dataset.manifest.quality == desk.signals.kind.metrics
    assert set(dataset.rung(0).quality) == set(dataset.rung(5).quality) == set(desk.signals.kind.metrics)


def _psnr_alone(signals, predict):
    return {"psnr": IMAGE.measure(signals, predict)["psnr"]}
