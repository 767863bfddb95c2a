"""The report says what the ledger holds, in one page that needs nothing else."""

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
from nefstudy.insight.reading import Source
from nefstudy.ledger import Ledger
from nefstudy.report.content import files_of
from nefstudy.report.report import write_report
from nefstudy.tasks.classification import ClassificationConfig

from ..ledger.records import as_cells, as_record

STUDY = "digits <&> more"
CELL = "digits8/siren"


def trial(*, init: str, steps: int) -> ClassificationConfig:
    """A configuration that differs in start and steps alone."""
    dataset = NeuralDatasetConfig(
        signals=SignalsConfig(name="digits8"),
        field=FieldConfig(name="siren", params={"hidden": 16}),
        init=init,  # type: ignore[arg-type]  # one of the two names
    )
    return ClassificationConfig(dataset=dataset, steps=steps)


def finish(ledger: Ledger, config: ClassificationConfig, *, accuracy: float, names: tuple[str, ...]) -> None:
    """Take a trial through its life in phase 2."""
    token = ledger.trials.request(STUDY, "phase2", record=as_record(config))
    ledger.trials.start(STUDY, "phase2", key=config.key, token=token)
    metrics = {
        "val_accuracy": accuracy + 0.01, "test_accuracy": accuracy, "all_psnr": 10.0 + config.steps / 10,
        "all_nmi": 0.3, "all_off_grid_ratio": 0.9, "field_steps": 1000.0, "fit_seconds": 36.0, "classify_seconds": 18.0,
    }  # fmt: skip
    ledger.trials.complete(
        STUDY, "phase2", key=config.key, token=token, metrics=metrics,
        artifacts={name: f"trials/{config.key}/{name}" for name in names},
    )  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root directory of the study, where its pictures lie."""
    return tmp_path_factory.mktemp("root")


@pytest.fixture(scope="module")
def ledger(root: Path) -> Iterator[Ledger]:
    """A study of four finished trials and a failed one; the best of them left a picture. Only read by the tests."""
    with fill(root / "ledger.db") as opened:
        picture = root / "trials" / trial(init="shared", steps=50).key / "reconstruction.png"
        picture.parent.mkdir(parents=True)
        Image.new("RGB", (8, 8), (0, 114, 178)).save(picture)
        yield opened


@pytest.fixture(scope="module")
def page(ledger: Ledger, root: Path) -> Path:
    """The page of the study's report, written once."""
    return write_report(ledger, STUDY, root=root, out=root / "out")


def fill(path: Path, *, names: tuple[str, ...] = ("reconstruction.png",)) -> Ledger:
    """A new ledger with the study in it, whose trials say that they left files of these names."""
    ledger = Ledger.open(str(path))
    with pytest.MonkeyPatch.context() as before:  # as versions before the rule of names wrote it
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
    """Collects what a browser would fetch, the text it would show, and whether every tag is closed."""

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
    """Parse a page to its end."""
    reader = Reader()
    reader.feed(page.read_text())
    assert reader.open == []
    return reader


def test_the_page_needs_nothing_beside_it(page: Path) -> None:
    """Everything a browser fetches is in the page, pictures included; there is no script, and the HTML is balanced."""
    reader = read(page)
    assert len(reader.fetched) == 4, "three figures and the best trial's reconstructions"
    assert all(address.startswith("data:image/png;base64,") for address in reader.fetched)
    assert "<script" not in page.read_text()


def test_page_and_files_agree_with_the_ledger(ledger: Ledger, page: Path) -> None:
    """Counts, accuracies, causes and costs on the page are the ledger's; every trial is in trials.csv."""
    text = " ".join(read(page).text)
    found = table(Source(ledger, STUDY), "initialization")
    for line in found.texts()[1]:
        assert all(cell in text for cell in line)
    assert "4 of 6 trials complete" in text
    assert "diverged" in text
    assert "4,000" in text
    assert STUDY in text
    rows = list(csv.DictReader(io.StringIO((page.parent / "trials.csv").read_text())))
    assert {row["key"] for row in rows} == {row.key for row in ledger.trials.page(STUDY, limit=None).rows}
    best = max(rows, key=lambda row: float(row["val_accuracy"] or 0))
    assert (best["test_accuracy"], best["all_psnr"], best["hidden"]) == ("0.85", "15.0", "16")
    (ours,) = csv.DictReader(io.StringIO((page.parent / "best.csv").read_text()))
    assert ours["key"] == best["key"]


@pytest.mark.slow
def test_the_same_ledger_gives_the_same_report(ledger: Ledger, root: Path, page: Path, tmp_path: Path) -> None:
    """Written again, every file is equal byte for byte, and no temporary is left; one more trial changes the page."""
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
    """Before the first trial finishes, the page says so and every file exists."""
    with Ledger.open(str(tmp_path / "ledger.db")) as ledger:
        ledger.studies.put("empty", {}, cells=as_cells({("phase1", CELL): 3}))
        page = write_report(ledger, "empty", root=tmp_path, out=tmp_path / "out")
    text = " ".join(read(page).text)
    assert "0 of 3 trials complete" in text
    assert "No finished trial yet" in text


def test_a_dropped_picture_is_left_out(ledger: Ledger, root: Path) -> None:
    """A reconstruction that retention removed costs its place in the gallery only; URIs are read too."""
    best = ledger.trials.best(STUDY)

    def left(place: Path | str) -> list[tuple[str, bytes]]:
        return [(row.cell, content) for row, content in files_of(ledger, best, root=place, name="reconstruction.png")]

    assert [cell for cell, _ in left(root)] == [CELL]
    assert left(f"file://{root}") == left(root)
    assert left(root / "elsewhere") == []


@pytest.mark.slow
def test_learned_features_are_shown_where_a_best_trial_kept_them(tmp_path: Path) -> None:
    """The page gains one picture, which is also a file; a torn file costs the picture only."""
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


def test_an_unknown_study_is_named_with_those_there_are(ledger: Ledger, root: Path, tmp_path: Path) -> None:
    """The error names the value, the studies there are and the next step; nothing is written."""
    with pytest.raises(BadConfig, match=re.escape(f"study = 'nope': the ledger knows {STUDY}; name one")):
        write_report(ledger, "nope", root=root, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_directory_that_cannot_be_written_is_named(ledger: Ledger, root: Path, tmp_path: Path) -> None:
    """Writing below a file fails with the path and the next step."""
    (tmp_path / "file").touch()
    with pytest.raises(BadRoot, match="--out"):
        write_report(ledger, STUDY, root=root, out=tmp_path / "file" / "out")


def test_amounts_have_their_units(page: Path) -> None:
    """Quality has its unit, durations have theirs; a short study did not take 0.00 h."""
    text = " ".join(read(page).text)
    assert "PSNR (dB)" in text
    assert "15.00" in text
    assert "2 min" in text  # four fits of 36 s
    assert "72 s" in text


def test_text_from_the_ledger_is_escaped(page: Path) -> None:
    """A name with markup in it is shown, not obeyed."""
    assert STUDY not in page.read_text()
    assert STUDY in " ".join(read(page).text)
