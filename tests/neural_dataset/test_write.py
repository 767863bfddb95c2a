"""Laws of writing: bytes come from the recipe, and nothing is fitted twice."""

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

NewDesk = Callable[[str], Any]


def test_what_is_written_is_what_was_fitted(desk) -> None:
    """Parameters, labels, ids, views and splits come back bit for bit, view by view in the signals' order."""
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
    """Every file is the same for 1, 2 or 3 ranks and any chunk, whatever order the ranks work in."""
    desk.make()
    other = new_desk("other")
    config = desk.config.model_copy(update={"chunk": chunk})
    for rank in reversed(range(world)):
        other.write(config=config, rank=rank, world=world)
    other.finish(config=config)
    assert other.files() == desk.files()


def test_another_seed_writes_other_bytes(desk, new_desk: NewDesk) -> None:
    """The files do depend on the recipe."""
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
        Written(fitted=4, found=0, restarted=False),
        Written(fitted=3, found=0, restarted=False),
        Written(fitted=3, found=0, restarted=False),
    ]


def test_writing_again_fits_nothing(desk) -> None:
    """A finished neural dataset is found whole, and its files stay as they are."""
    desk.make()
    before = desk.files()
    assert desk.write() == Written(fitted=0, found=10, restarted=False)
    desk.finish()
    assert desk.files() == before


@pytest.mark.parametrize("lost", ["shard-00004.arrow", "shard-00004.json"])
def test_a_lost_shard_alone_is_fitted_again(desk, lost: str) -> None:
    """After losing one shard or its receipt, resuming fits that one and gives back the same bytes."""
    desk.make()
    before = desk.files()
    (desk.folder / "rung-00000003" / lost).unlink()
    assert desk.write() == Written(fitted=1, found=9, restarted=False)
    desk.finish()
    assert desk.files() == before


def test_a_fit_killed_between_shards_resumes(desk, new_desk: NewDesk) -> None:
    """What a stopped fit had written is kept; the end result is that of a fit never stopped."""
    desk.make()
    other = new_desk("other")

    def stop(done: int, total: int, _: float) -> None:
        if done >= 34:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_neural_dataset(other.config, other.signals, str(other.root), field=other.field, on_progress=stop)
    assert find_neural_dataset(str(other.root), other.digest) is None
    with pytest.raises(BadNeuralDataset, match=r"shard-00003\.arrow is missing"):
        other.finish()
    assert other.write() == Written(fitted=7, found=3, restarted=False)
    other.finish()
    assert other.files() == desk.files()


def test_a_rung_asked_for_later_joins_the_others(desk, new_desk: NewDesk) -> None:
    """Asking for another step count keeps the rungs that are there, in the bytes one ladder would give."""
    desk.make()
    assert desk.make(rungs=(3, 5)).rungs == (0, 3, 5)
    other = new_desk("other")
    other.make(rungs=(0, 3, 5))
    assert other.files() == desk.files()


def test_another_fingerprint_starts_anew(desk) -> None:
    """Shards of another fingerprint are replaced, rungs not asked for go, and the call says so."""
    desk.make(threads=2, rungs=(0, 1))
    only = desk.config.model_copy(update={"rungs": (1,)})
    written = desk.write(config=only)
    assert written == Written(fitted=10, found=0, restarted=True)
    assert find_neural_dataset(str(desk.root), desk.digest) is None
    assert desk.finish(config=only).rungs == (1,)
    assert not (desk.folder / "rung-00000000").exists()
    assert open_neural_dataset(str(desk.root), desk.digest).manifest.fingerprint["threads"] == "1"


def test_leftovers_of_a_killed_writer_are_swept(desk) -> None:
    """Half-written files are never taken for shards, and go when the neural dataset is finished."""
    desk.write()
    leftover = desk.folder / "rung-00000003" / "shard-00002.arrow.0123abcd.part"
    leftover.write_bytes(b"half")
    desk.finish().verify()
    assert not leftover.exists()


def test_progress_counts_the_fields_still_to_fit(desk) -> None:
    """A resumed fit counts what is missing, monotonically, to the end."""
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
    """A field that diverged has NaN weights and quality; one that diverges later is well at earlier rungs."""
    optimizer = desk.config.dataset.optimizer.model_copy(update={"name": "sgd", "lr": 1e9})
    field = desk.config.dataset.field.model_copy(update={"name": "mfn", "params": {"hidden": 4}})
    recipe = desk.config.dataset.model_copy(update={"optimizer": optimizer, "field": field})
    mine = replace(
        desk,
        config=desk.config.model_copy(update={"dataset": recipe, "rungs": (0, 25)}),
        field=build(field, in_dim=2, out_dim=1),
    )
    dataset = mine.make(rungs=(0, 25))
    start, end = dataset.rung(0), dataset.rung(25)
    assert not start.diverged.any()
    assert end.diverged.all()
    assert np.isnan(end.parameters.numpy()).all()
    assert all(np.isnan(values).all() for values in end.quality.values())
    assert all(np.isfinite(values).all() for values in start.quality.values())
    assert ((end.diverged_at > 0) & (end.diverged_at <= 25)).all()


def test_signals_other_than_the_recipes_are_refused(desk) -> None:
    """A recipe pinned to other content is not fitted."""
    pinned = desk.config.dataset.signals.model_copy(update={"content": "f" * 64})
    recipe = desk.config.dataset.model_copy(update={"signals": pinned})
    with pytest.raises(BadSignals, match="is not the recipe's ffffffffffff"):
        desk.write(config=desk.config.model_copy(update={"dataset": recipe}))


def test_a_root_that_cannot_be_written_is_refused(desk) -> None:
    """A root below a file, say, is refused by name and leaves nothing."""
    desk.root.write_text("a file")
    with pytest.raises(BadRoot, match=r"cannot be written .*; free space, or choose another root"):
        desk.write()
    assert desk.root.read_text() == "a file"
