"""Which classifier reads weights best: classifier x init x field, and sizes of the MLP and the GNN.

python studies/classifier_ablation.py                  # reduced widths on 1,000 digits, for a CPU
python studies/classifier_ablation.py --scale paper    # published widths on all of them, for a GPU
"""

from nefstudy.classifiers.gnn import GNN_SIZES
from nefstudy.classifiers.mlp import MLP_SIZES
from nefstudy.config import ClassifierConfig, SignalsConfig
from nefstudy.scalars import Scalar
from nefstudy.study.command import main
from nefstudy.study.options import StudyOptions
from nefstudy.study.plan import CellPlan, StudyPlan
from nefstudy.study.scales import chosen_cells, scale_named
from nefstudy.study.space import GRID_FIXED, INIT, Choice

Params = dict[str, Scalar]

CELLS = ("mnist5k/siren", "mnist5k/mfn", "mnist5k/rffnet")

REDUCED: dict[str, Params] = {
    "mlp": {},
    "gnn": {"width": 12, "steps": 3, "node_hidden": 24, "edge_hidden": 16},
    "gnn-thin": {},
    "gnn-sign": {},
    "transformer": {"width": 8, "edge_width": 4, "heads": 2, "rounds": 1},
    "dws": {"width": 16},
}
"""Widths that a CPU affords; those of the MLP and of the thin networks are their own."""

REDUCED_GNN: dict[str, Params] = {
    f"gnn-{name}": {"width": width, "steps": 3, "node_hidden": 2 * width, "edge_hidden": width + 4}
    for name, width in (("small", 8), ("large", 16))
}

PRESETS: dict[str, Params] = {f"mlp-{size.lower()}": params for size, params in MLP_SIZES.items()}
PUBLISHED_GNN: dict[str, Params] = {f"gnn-{size.lower()}": GNN_SIZES[size] for size in ("0.5M", "1.5M")}
"""Beside `gnn` itself, which has the published 1.2M parameters."""


def classifiers(*, full: bool, sizes: bool) -> dict[str, ClassifierConfig]:
    """The classifiers by the name a point gives them; a size is named after the classifier it is a size of."""
    table = dict.fromkeys(REDUCED, Params()) if full else REDUCED
    more = {**PRESETS, **(PUBLISHED_GNN if full else REDUCED_GNN)} if sizes else {}
    recipe = ClassifierConfig(epochs=50, lr=1e-3) if full else ClassifierConfig(epochs=10, lr=3e-3)
    slow = recipe if full else recipe.model_copy(update={"epochs": 4})
    chosen = {}
    for name, params in {**table, **more}.items():
        kind = name if name in REDUCED else name.split("-")[0]
        start = slow if kind == "transformer" else recipe
        chosen[name] = start.model_copy(update={"name": kind, "params": params})
    return chosen


def plan(options: StudyOptions) -> StudyPlan:
    """Every classifier on one ladder of each start and field; the sizes of MLP and GNN on the SIREN's."""
    full, cells = options.scale == "paper", []
    for signals, field in chosen_cells(scale_named("cpu"), options.cells or CELLS):
        readers = classifiers(full=full, sizes=field == "siren")
        names = tuple(n for n, c in readers.items() if options.classifier in (None, c.name))
        cells.append(
            CellPlan(
                phase="phase2",
                signals=SignalsConfig(name=signals, subset=None if full else 1000),
                field=field,
                space={"init": INIT, "classifier": Choice(names), "steps": Choice((200,) if full else (75,))},
                fixed={**GRID_FIXED[field], "hidden": 32},
                classifiers=readers,
                replicates=options.replicates,
            )
        )
    return StudyPlan(study=options.study or "classifier-ablation", cells=tuple(cells), seed=options.seed)


if __name__ == "__main__":
    main(
        plan,
        about="Classifier x start x field, and sizes of MLP and GNN. --scale paper takes published widths, any other "
        "reduced ones. Run it again to continue.",
    )
