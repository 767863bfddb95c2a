"""Compare fits of shapes to pools of points with fits to stored points: `python -m tests.bench.shapes`.

SIREN h64 is fitted to one solid of each class, to 8,000 steps; IoU is measured on held-out points. A step's CPU time
is measured on one thread, in turns. A full run takes about half an hour on one core.
"""

import argparse
import resource
import time
from collections.abc import Sequence
from dataclasses import replace
from statistics import median

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from nefstudy.config import FieldConfig, FitConfig, InitConfig, NeuralDatasetConfig, SignalsConfig
from nefstudy.evaluation import iou
from nefstudy.fields.catalog import build, complete
from nefstudy.fields.field import unflatten
from nefstudy.fitting.fit import Fits, fit_fields
from nefstudy.signals.catalog import load_signals
from nefstudy.signals.signal import Signals

RUNGS = (1000, 2000, 4000, 8000)
TURNS, TURN_STEPS = 5, 1000
FIELD = complete(FieldConfig(name="siren", params={"hidden": 64}))
NETWORK = build(FIELD, in_dim=3, out_dim=1)


def fit(signals: Signals, rungs: Sequence[int], *, rows: np.ndarray) -> Fits:
    """Fit SIREN to the given shapes."""
    recipe = NeuralDatasetConfig(signals=SignalsConfig(name="shapes10"), field=FIELD, init=InitConfig(name="random"))
    config = FitConfig(dataset=recipe, rungs=tuple(rungs), engine="native")
    return fit_fields(NETWORK, signals, config, rows=rows)


def held_out_iou(signals: Signals, parameters: torch.Tensor, *, rows: np.ndarray) -> np.ndarray:
    """Return the IoU of each fitted shape on its held-out points."""
    assert signals.samples is not None
    points = torch.from_numpy(signals.samples.held_out[rows].astype(np.float32))
    with torch.no_grad():
        logits = NETWORK.forward(unflatten(NETWORK, parameters), points)[..., 0].numpy()
    return iou(logits, signals.samples.occupied[rows])


def without_pools(signals: Signals) -> Signals:
    """Return the same shapes with their stored points only."""
    assert signals.samples is not None
    return replace(signals, samples=replace(signals.samples, pools=None))


def quality(pooled: Signals, rungs: Sequence[int], *, rows: np.ndarray) -> Table:
    """Return a table of IoU of each shape at each step count, with its pool and with its stored points."""
    table = Table("solid", "points", *(f"{steps:,}" for steps in rungs), "last - first")
    for name, signals in (("pool", pooled), ("stored", without_pools(pooled))):
        fits = fit(signals, rungs, rows=rows)
        scores = np.stack([held_out_iou(signals, rung, rows=rows) for rung in fits.parameters])
        assert signals.labels is not None
        for label, row in zip(signals.labels[rows], scores.T, strict=True):
            cells = [f"{score:.3f}" for score in row]
            table.add_row(signals.card.class_names[int(label)], name, *cells, f"{row[-1] - row[0]:+.3f}")
    return table


def cost(pooled: Signals, *, rows: np.ndarray) -> str:
    """Return the CPU time of a step with pools and with stored points, measured in turns."""
    spent: dict[str, list[float]] = {"pool": [], "stored": []}
    for _ in range(TURNS):
        for name, signals in (("pool", pooled), ("stored", without_pools(pooled))):
            before = time.process_time()
            fit(signals, (TURN_STEPS,), rows=rows)
            spent[name].append((time.process_time() - before) / TURN_STEPS / len(rows))
    pool, stored = (1000 * median(spent[name]) for name in ("pool", "stored"))
    each = f"{pool:.3f} pool, {stored:.3f} stored, ratio {pool / stored:.3f}"
    return f"CPU-ms per step and field in a fit of {TURN_STEPS:,} steps: {each}"


def main() -> None:
    """Print IoU and cost."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rungs", type=int, nargs="+", default=RUNGS)
    options.add_argument("--without-cost", action="store_true")
    given = options.parse_args()
    torch.set_num_threads(1)
    console = Console(width=110)
    before, rss = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    signals = load_signals(SignalsConfig(name="shapes10", options={"per_class": 3}))
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - rss) / 1024
    console.print(f"loading {len(signals.ids)} solids: {time.process_time() - before:.1f} CPU-s, {grown:.0f} MB")
    assert signals.labels is not None
    rows = np.unique(signals.labels, return_index=True)[1]
    if not given.without_cost:
        fit(signals, (1,), rows=rows)  # compile
        console.print(cost(signals, rows=rows))
    console.print(quality(signals, given.rungs, rows=rows))


if __name__ == "__main__":
    main()
