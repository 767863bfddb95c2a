"""How many fields a classifier reads a second, forward and backward, and in how much memory."""

import resource
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from rich.table import Table
from torch import Tensor
from torch_geometric.data import Batch

from nefstudy import seeds
from nefstudy.classifiers.catalog import CLASSIFIERS, build
from nefstudy.classifiers.classifier import WeightReader, count_parameters
from nefstudy.classifiers.gnn import EdgeGnn
from nefstudy.classifiers.sparse import graphs, score_graphs
from nefstudy.config import ClassifierConfig, FieldConfig
from nefstudy.errors import BadConfig
from nefstudy.fields.catalog import build as build_field
from nefstudy.fields.field import NeuralField
from nefstudy.inits.drawn import Random

Path = Literal["dense", "pyg"]

CLASSES = 10


@dataclass(frozen=True)
class Workload:
    """What is read: batches of freshly started fields of one architecture.

    Attributes:
        seconds: CPU seconds of measuring for each row, after one batch to warm up; at least one batch.
    """

    field: NeuralField
    batch: int = 32
    seconds: float = 1.5


@dataclass(frozen=True)
class ClassifyRow:
    """One measurement.

    Attributes:
        path: `pyg` reads torch-geometric batches, collation included; `dense` reads tensors.
        fields_per_s: forward and backward, by CPU time of one thread, so that neighbours disturb it little.
        peak_mb: growth of the process's largest resident size from building the reader on.
    """

    classifier: str
    path: Path
    parameters: int
    fields_per_s: float
    peak_mb: float


def workload(name: str, *, hidden: int = 32, batch: int = 32, seconds: float = 1.5) -> Workload:
    """Batches of the named field from 2 coordinates to 3 channels, its other hyperparameters by default."""
    field = build_field(FieldConfig(name=name, params={"hidden": hidden}), in_dim=2, out_dim=3)
    return Workload(field, batch, seconds)


def cases(names: Iterable[str] | None = None) -> list[tuple[str, Path]]:
    """The classifiers asked for, all of them when None, by every path they have.

    Raises:
        BadConfig: a classifier nobody knows.
    """
    chosen = list(CLASSIFIERS if names is None else names)
    unknown = [name for name in chosen if name not in CLASSIFIERS]
    if unknown:
        raise BadConfig(f"classifier {unknown[0]!r} is unknown; allowed: {', '.join(CLASSIFIERS)}; choose of these")
    return [(name, path) for name in chosen for path in (("dense", "pyg") if name == "gnn" else ("dense",))]


def bench_classify(
    work: Workload, names: Iterable[str] | None = None, *, on_row: Callable[[ClassifyRow], None] | None = None
) -> list[ClassifyRow]:
    """Measure every case in a fresh process with one thread."""
    rows: list[ClassifyRow] = []
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        for row in pool.map(measure, *zip(*((work, *case) for case in cases(names)), strict=True)):
            rows.append(row)
            if on_row:
                on_row(row)
    return rows


def measure(work: Workload, name: str, path: Path) -> ClassifyRow:
    """One measurement in this process, which is left with one thread."""
    torch.set_num_threads(1)
    rows = Random().rows(work.field, seed=0, ids=np.arange(work.batch), view=0)
    before = _peak_mb()
    torch.manual_seed(seeds.integer(0, "bench", name))
    reader = build(ClassifierConfig(name=name), work.field, classes=CLASSES)
    reader.calibrate(rows)
    read = _READS[path]
    _step(reader, rows, read)
    spent, batches = 0.0, 0
    while spent < work.seconds or not batches:
        began = time.process_time()
        _step(reader, rows, read)
        spent, batches = spent + time.process_time() - began, batches + 1
    return ClassifyRow(
        classifier=name,
        path=path,
        parameters=count_parameters(reader),
        fields_per_s=work.batch * batches / spent,
        peak_mb=_peak_mb() - before,
    )


def classify_json(rows: list[ClassifyRow]) -> list[dict[str, Any]]:
    """The measurements as plain data."""
    return [asdict(row) | {"fields_per_s": round(row.fields_per_s, 1), "peak_mb": round(row.peak_mb)} for row in rows]


def classify_table(rows: list[ClassifyRow], work: Workload) -> Table:
    """The measurements for a terminal, beside the study's GNN on torch-geometric."""
    pace = {(row.classifier, row.path): row.fields_per_s for row in rows}
    yardstick = pace.get(("gnn", "pyg"))
    table = Table(title=f"forward + backward, batches of {work.batch}, {work.field}", title_justify="left", box=None)
    for column in ("classifier", "path", "parameters", "fields/s", "x gnn pyg", "peak MB"):
        table.add_column(column, justify="left" if column in ("classifier", "path") else "right")
    for row in rows:
        times = "-" if yardstick is None else f"{row.fields_per_s / yardstick:.1f}"
        cells = (f"{row.parameters:,}", f"{row.fields_per_s:,.0f}", times, f"{row.peak_mb:,.0f}")
        table.add_row(row.classifier, row.path, *cells)
    return table


Read = Callable[[WeightReader, Float[Tensor, "B P"]], Float[Tensor, "B classes"]]


def _dense(reader: WeightReader, rows: Float[Tensor, "B P"]) -> Float[Tensor, "B classes"]:
    scores: Tensor = reader(rows)
    return scores


def _sparse(reader: WeightReader, rows: Float[Tensor, "B P"]) -> Float[Tensor, "B classes"]:
    assert isinstance(reader, EdgeGnn)  # `cases` pairs the path with no other
    return score_graphs(reader, Batch.from_data_list(graphs(reader, reader.graph, rows, scales=reader.scales)))


_READS: Mapping[Path, Read] = {"dense": _dense, "pyg": _sparse}


def _step(reader: WeightReader, rows: Float[Tensor, "B P"], read: Read) -> None:
    reader.zero_grad()
    torch.autograd.backward(read(reader, rows).square().sum())


def _peak_mb() -> float:
    """Largest resident size of this process so far; kibibytes on Linux."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
