"""Tests that the report shows the ledger's content in one self-contained page."""

import csv
import io
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save

from nefstudy import seeds
from nefstudy.config import FieldConfig, NeuralDatasetConfig, SignalsConfig
from nefstudy.errors import BadConfig, BadRoot
from nefstudy.insight.catalog import table
from nefstudy.insight.study_data import StudyData
from nefstudy.ledger import Ledger
from nefstudy.report.content import files_of
from nefstudy.report.report import write_report
from nefstudy.tasks.classification import ClassificationConfig

from ..ledger.records import as_cells, as_record

STUDY = "digits <&> more"
CELL = "digits8/siren"


def trial(*, init: str, steps: int) -> ClassificationConfig:
    """Return the configuration of a trial with the given initialization and number of steps."""
    dataset = NeuralDatasetConfig(
        signals=SignalsConfig(name="digits8"),
        field=FieldConfig(name="siren", params={"hidden": 16}),
        init=init,
    )
    return ClassificationConfig(dataset=dataset, steps=steps)


def finish(ledger: Ledger, config: ClassificationConfig, *, accuracy: float, names: tuple[str, ...]) -> None:
    """Request, start and complete a trial of phase 2."""
    token = ledger.trials.request(STUDY, "phase2", record=as_record(config))
    ledger.trials.start(STUDY, "phase2", key=config.key, token=token)
    metrics = {
        "val_accuracy": accuracy + 0.01, "test_accuracy": accuracy, "all_psnr": 10.0 + config.steps / 10,
        "all_nmi": 0.3, "all_off_grid_ratio_published": 0.9, "field_steps": 1000.0, "fit_seconds": 36.0,
        "classify_seconds": 18.0,
    }  # fmt: skip
    ledger.trials.complete(
        STUDY, "phase2", key=config.key, token=token, metrics=metrics,
        artifacts={name: f"trials/{config.key}/{name}" for name in names},
    )  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the root directory of the study and its pictures."""
    return tmp_path_factory.mktemp("root")


@pytest.fixture(scope="module")
def ledger(root: Path) -> Iterator[Ledger]:
    """Yield a read-only ledger of four complete trials and a failed one; only the best trial has a picture."""
    with fill(root / "ledger.db") as opened:
        picture = root / "trials" / trial(init="shared", steps=50).key / "reconstruction.png"
        picture.parent.mkdir(parents=True)
        Image.new("RGB", (8, 8), (0, 114, 178)).save(picture)
        yield opened


@pytest.fixture(scope="module")
def page(ledger: Ledger, root: Path) -> Path:
    """Write the study's report once and return its page."""
    return write_report(ledger, STUDY, root=root, out=root / "out")


def fill(path: Path, *, names: tuple[str, ...] = ("reconstruction.png",)) -> Ledger:
    """Return a new ledger with the study, in which trials have artifacts with the given names."""
    ledger = Ledger.open(str(path))
    with pytest.MonkeyPatch.context() as before:  # as accepted by versions without the rule for names
        before.setattr("nefstudy.ledger.studies.study_name", str)
        ledger.studies.put(STUDY, {}, cells=as_cells({("phase2", CELL): 6}))
    for init, base in (("random", 0.3), ("shared", 0.8)):
        for steps in (5, 50):
            finish(ledger, trial(init=init, steps=steps), accuracy=round(base + steps / 1000, 3), names=names)
    broken = trial(init="random", steps=7)
    token = ledger.trials.request(STUDY, "phase2", record=as_record(broken))
    ledger.trials.fail(STUDY, "phase2", key=broken.key, token=token, cause="diverged", error="nothing survived")
    return ledger


class Reader(HTMLParser):
    """A parser that collects the addresses a browser would fetch, the displayed text, and the open tags."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.open: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.fetched += [value or "" for name, value in attrs if name in ("src", "href", "action")]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def read(page: Path) -> Reader:
    """Parse a whole page and check that its tags are balanced."""
    reader = Reader()
    reader.feed(page.read_text())
    assert reader.open == []
    return reader


def test_the_page_is_self_contained(page: Path) -> None:
    """The page contains all of its pictures and no script.

    Its HTML is balanced.
    """
    reader = read(page)
    assert len(reader.fetched) == 4, "three figures and the best trial's reconstructions"
    assert all(address.startswith("data:image/png;base64,") for address in reader.fetched)
    assert "<script" not in page.read_text()


def test_page_and_files_agree_with_the_ledger(ledger: Ledger, page: Path) -> None:
    """Counts, accuracies, causes and costs on the page match the ledger.

    Every trial is in trials.csv.
    """
    text = " ".join(read(page).text)
    initialization = table(StudyData(ledger, STUDY), "initialization")
    for line in initialization.texts()[1]:
        assert all(cell in text for cell in line)
    assert "4 of 6 trials complete" in text
    assert "diverged" in text
    assert "4,000" in text
    assert STUDY in text
    rows = list(csv.DictReader(io.StringIO((page.parent / "trials.csv").read_text())))
    assert {row["key"] for row in rows} == {row.key for row in ledger.trials.page(STUDY, limit=None).rows}
    best = max(rows, key=lambda row: float(row["val_accuracy"] or 0))
    assert (best["test_accuracy"], best["all_psnr"], best["hidden"]) == ("0.85", "15.0", "16")
    (reported,) = csv.DictReader(io.StringIO((page.parent / "best.csv").read_text()))
    assert reported["key"] == best["key"]


@pytest.mark.slow
def test_the_same_ledger_gives_the_same_report(ledger: Ledger, root: Path, page: Path, tmp_path: Path) -> None:
    """Writing the report again yields identical files and leaves no temporary file.

    Another trial changes the page.
    """
    again = write_report(ledger, STUDY, root=root, out=tmp_path / "again")
    written = sorted(path.name for path in page.parent.iterdir())
    assert written == sorted(path.name for path in again.parent.iterdir())
    assert {"report.html", "trials.csv", "initialization.csv", "best.csv", "scatter_all_nmi.svg"} <= set(written)
    assert not any(name.endswith(".tmp") for name in written)
    assert all((page.parent / name).read_bytes() == (again.parent / name).read_bytes() for name in written)
    with fill(tmp_path / "ledger.db") as other:
        finish(other, trial(init="shared", steps=60), accuracy=0.9, names=())
        assert write_report(other, STUDY, root=root, out=tmp_path / "again").read_bytes() != page.read_bytes()


def test_a_study_without_trials_has_a_report(tmp_path: Path) -> None:
    """Before the first trial has finished, the report shows a message instead of results."""
    with Ledger.open(str(tmp_path / "ledger.db")) as ledger:
        ledger.studies.put("empty", {}, cells=as_cells({("phase1", CELL): 3}))
        page = write_report(ledger, "empty", root=tmp_path, out=tmp_path / "out")
    text = " ".join(read(page).text)
    assert "0 of 3 trials complete" in text
    assert "No finished trials yet" in text


def test_a_deleted_picture_is_left_out(ledger: Ledger, root: Path) -> None:
    """The report's gallery leaves out reconstructions whose files were deleted.

    The root may be a file URI.
    """
    best = ledger.trials.best(STUDY)

    def pictures(place: Path | str) -> list[tuple[str, bytes]]:
        return [(row.cell, content) for row, content in files_of(ledger, best, root=place, name="reconstruction.png")]

    assert [cell for cell, _ in pictures(root)] == [CELL]
    assert pictures(f"file://{root}") == pictures(root)
    assert pictures(root / "elsewhere") == []


@pytest.mark.slow
def test_learned_features_of_best_trials_are_shown(tmp_path: Path) -> None:
    """If the best trial has stored features, the report shows a picture of them.

    If the stored features are damaged, the picture is left out.
    """
    config = trial(init="shared", steps=50)
    folder = tmp_path / "trials" / config.key
    folder.mkdir(parents=True)
    rng = seeds.stream(0, "test", "features")
    kept = {"features": rng.standard_normal((30, 4)).astype(np.float32), "labels": np.arange(30) % 3}
    with fill(tmp_path / "ledger.db", names=("embedding.safetensors",)) as ledger:
        for content, pictures in ((save(kept), 4), (b"torn", 3)):
            (folder / "embedding.safetensors").write_bytes(content)
            page = write_report(ledger, STUDY, root=tmp_path, out=tmp_path / str(pictures))
            assert len(read(page).fetched) == pictures
            assert (page.parent / "learned_features.svg").exists() == (pictures == 4)


def test_an_unknown_study_is_an_error(ledger: Ledger, root: Path, tmp_path: Path) -> None:
    """The error for an unknown study names that study, lists the existing ones and says what to do next.

    Nothing is written.
    """
    with pytest.raises(BadConfig, match=f"'nope'.*: {re.escape(STUDY)};"):
        write_report(ledger, "nope", root=root, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_unwritable_directory_is_an_error(ledger: Ledger, root: Path, tmp_path: Path) -> None:
    """The error for writing to a path below a regular file suggests choosing another directory with `--out`."""
    (tmp_path / "file").touch()
    with pytest.raises(BadRoot, match="--out"):
        write_report(ledger, STUDY, root=root, out=tmp_path / "file" / "out")


def test_amounts_have_their_units(page: Path) -> None:
    """Quality and durations are shown with their units.

    The unit of a duration suits its length.
    """
    text = " ".join(read(page).text)
    assert "PSNR (dB)" in text
    assert "15.00" in text
    assert "2 min" in text  # four fits of 36 s
    assert "72 s" in text


def test_text_from_the_ledger_is_escaped(page: Path) -> None:
    """Markup in a name is shown as text."""
    assert STUDY not in page.read_text()
    assert STUDY in " ".join(read(page).text)
