"""Training throughput of classifiers in fields per second, and their memory use."""

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
from nefstudy.classifiers.catalog import CLASSIFIERS, build, complete
from nefstudy.classifiers.classifier import WeightClassifier, count_parameters
from nefstudy.classifiers.networks.gnn import GnnNetwork
from nefstudy.classifiers.networks.sparse import graphs, score_graphs
from nefstudy.config import ClassifierConfig, FieldConfig
from nefstudy.fields.catalog import build as build_field
from nefstudy.fields.field import NeuralField
from nefstudy.inits.drawn import RandomInit

Path = Literal["dense", "pyg"]

CLASSES = 10


@dataclass(frozen=True)
class Workload:
    """The input of the benchmark: batches of randomly initialized fields of one architecture.

    Attributes:
        seconds: CPU seconds to measure for each row, after a warm-up batch; at least one batch is measured.
    """

    field: NeuralField
    batch: int = 32
    seconds: float = 1.5


@dataclass(frozen=True)
class ClassifyRow:
    """One measurement of a classifier.

    Attributes:
        path: `pyg` reads torch-geometric batches, including their collation; `dense` reads tensors.
        fields_per_s: forward and backward passes per second of one thread's CPU time, which other processes barely
            affect.
        peak_mb: growth of the process's peak resident size, from before the network is built.
    """

    classifier: str
    path: Path
    parameters: int
    fields_per_s: float
    peak_mb: float


def workload(name: str, *, hidden: int = 32, batch: int = 32, seconds: float = 1.5) -> Workload:
    """Return batches of the named field with 2 coordinates, 3 channels and default hyperparameters."""
    field = build_field(FieldConfig(name=name, params={"hidden": hidden}), in_dim=2, out_dim=3)
    return Workload(field, batch, seconds)


def cases(names: Iterable[str] | None = None) -> list[tuple[str, Path]]:
    """Return the cases to measure: each given classifier or preset (default: all classifiers) with each input path.

    Raises:
        BadConfig: a classifier is unknown.
    """
    chosen = list(CLASSIFIERS if names is None else names)
    kinds = {name: complete(ClassifierConfig(name=name)).name for name in chosen}
    return [(name, path) for name in chosen for path in (("dense", "pyg") if kinds[name] == "gnn" else ("dense",))]


def bench_classify(
    work: Workload, names: Iterable[str] | None = None, *, on_row: Callable[[ClassifyRow], None] | None = None
) -> list[ClassifyRow]:
    """Measure each case in a new process with one thread."""
    rows: list[ClassifyRow] = []
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        for row in pool.map(measure, *zip(*((work, *case) for case in cases(names)), strict=True)):
            rows.append(row)
            if on_row:
                on_row(row)
    return rows


def measure(work: Workload, name: str, path: Path) -> ClassifyRow:
    """Measure a classifier in this process, after limiting it to one thread."""
    torch.set_num_threads(1)
    rows = RandomInit().rows(work.field, seed=0, ids=np.arange(work.batch), view=0)
    before = _peak_mb()
    torch.manual_seed(seeds.integer(0, "bench", name))
    network = build(ClassifierConfig(name=name), work.field, classes=CLASSES)
    network.calibrate(rows)
    read = _READS[path]
    _step(network, rows, read)
    spent, batches = 0.0, 0
    while spent < work.seconds or not batches:
        began = time.process_time()
        _step(network, rows, read)
        spent, batches = spent + time.process_time() - began, batches + 1
    return ClassifyRow(
        classifier=name,
        path=path,
        parameters=count_parameters(network),
        fields_per_s=work.batch * batches / spent,
        peak_mb=_peak_mb() - before,
    )


def classify_json(rows: list[ClassifyRow]) -> list[dict[str, Any]]:
    """Return the measurements as plain data."""
    return [asdict(row) | {"fields_per_s": round(row.fields_per_s, 1), "peak_mb": round(row.peak_mb)} for row in rows]


def classify_table(rows: list[ClassifyRow], work: Workload) -> Table:
    """Return a table for the terminal, with speeds relative to the GNN on torch-geometric."""
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


Read = Callable[[WeightClassifier, Float[Tensor, "B P"]], Float[Tensor, "B classes"]]


def _dense(network: WeightClassifier, rows: Float[Tensor, "B P"]) -> Float[Tensor, "B classes"]:
    scores: Tensor = network(rows)
    return scores


def _sparse(network: WeightClassifier, rows: Float[Tensor, "B P"]) -> Float[Tensor, "B classes"]:
    assert isinstance(network, GnnNetwork)  # `cases` pairs this path only with the GNN
    return score_graphs(network, Batch.from_data_list(graphs(network, network.graph, rows, scales=network.scales)))


_READS: Mapping[Path, Read] = {"dense": _dense, "pyg": _sparse}


def _step(network: WeightClassifier, rows: Float[Tensor, "B P"], read: Read) -> None:
    network.zero_grad()
    torch.autograd.backward(read(network, rows).square().sum())


def _peak_mb() -> float:
    """Return the peak resident size of this process in MB; `ru_maxrss` is in kibibytes on Linux."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
