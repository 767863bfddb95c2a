"""Results published by Papa et al. 2024 (supplement, Table 4), for comparison with a study's own results."""

from dataclasses import dataclass

from nefstudy.insight.table import Mean

# The paper's data set of each signal source, which may be a subset of it.
PAPER_SIGNALS = {
    "mnist": "MNIST",
    "mnist5k": "MNIST",
    "cifar10": "CIFAR10",
    "microimagenet": "MicroImageNet",
    "shapenet10": "ShapeNet10",
}


@dataclass(frozen=True, slots=True)
class PaperLine:
    """One row of the paper's Table 4: mean accuracy over 30 neural datasets by initialization, and the printed gain."""

    random: Mean
    shared: Mean
    gain: float


def _paper(random: tuple[float, float], shared: tuple[float, float], gain: float) -> PaperLine:
    return PaperLine(random=Mean(30, *random, None), shared=Mean(30, *shared, None), gain=gain)


# Papa et al. 2024 supplement, Table 4 (random init, shared init, gain in %); it has no SIREN rows.
PAPER_TABLE_4: dict[tuple[str, str], PaperLine] = {
    ("MNIST", "rffnet"): _paper((0.20, 0.09), (0.86, 0.12), 327.10),
    ("CIFAR10", "rffnet"): _paper((0.16, 0.02), (0.31, 0.05), 102.33),
    ("MicroImageNet", "rffnet"): _paper((0.13, 0.02), (0.21, 0.04), 60.65),
    ("ShapeNet10", "rffnet"): _paper((0.23, 0.003), (0.79, 0.06), 239.21),
    ("MNIST", "mfn"): _paper((0.23, 0.08), (0.91, 0.07), 304.58),
    ("CIFAR10", "mfn"): _paper((0.20, 0.03), (0.37, 0.06), 82.87),
    ("MicroImageNet", "mfn"): _paper((0.16, 0.02), (0.23, 0.06), 46.39),
    ("ShapeNet10", "mfn"): _paper((0.42, 0.19), (0.89, 0.03), 109.83),
}


def published(signals: object, field: object) -> PaperLine | None:
    """Return the paper's row for a signal source and a field, or None if the paper has no such row."""
    return PAPER_TABLE_4.get((PAPER_SIGNALS.get(str(signals), ""), str(field)))
