"""A comparison of weight classifiers by initialization and field, with several sizes of MLP and GNN.

python studies/classifier_ablation.py                  # reduced widths on 1,000 digits, for a CPU
python studies/classifier_ablation.py --scale paper    # published widths on all digits, for a GPU
"""

from nefstudy.classifiers.networks.gnn import GNN_SIZES
from nefstudy.classifiers.networks.mlp import MLP_SIZES
from nefstudy.config import ClassifierConfig, SignalsConfig
from nefstudy.scalars import Scalar
from nefstudy.study.command import main
from nefstudy.study.options import StudyOptions
from nefstudy.study.plan.scales import chosen_cells, scale_named
from nefstudy.study.plan.study_plan import CellPlan, StudyPlan
from nefstudy.study.space import GRID_FIXED, INIT, Categorical

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
"""Widths that are affordable on a CPU; the MLP and the thin networks keep their default widths."""

REDUCED_GNN: dict[str, Params] = {
    f"gnn-{name}": {"width": width, "steps": 3, "node_hidden": 2 * width, "edge_hidden": width + 4}
    for name, width in (("small", 8), ("large", 16))
}

PRESETS: dict[str, Params] = {f"mlp-{size.lower()}": params for size, params in MLP_SIZES.items()}
PUBLISHED_GNN: dict[str, Params] = {f"gnn-{size.lower()}": GNN_SIZES[size] for size in ("0.5M", "1.5M")}
"""Sizes in addition to `gnn` itself, which has the published 1.2M parameters."""


def classifiers(*, full: bool, sizes: bool) -> dict[str, ClassifierConfig]:
    """Return the classifiers by name; each size is named after its classifier, as in `gnn-small`."""
    table = dict.fromkeys(REDUCED, Params()) if full else REDUCED
    more = {**PRESETS, **(PUBLISHED_GNN if full else REDUCED_GNN)} if sizes else {}
    recipe = ClassifierConfig(epochs=50, lr=1e-3) if full else ClassifierConfig(epochs=10, lr=3e-3)
    slow = recipe if full else recipe.model_copy(update={"epochs": 4})
    chosen = {}
    for name, params in {**table, **more}.items():
        kind = name if name in REDUCED else name.split("-")[0]
        training = slow if kind == "transformer" else recipe
        chosen[name] = training.model_copy(update={"name": kind, "params": params})
    return chosen


def plan(options: StudyOptions) -> StudyPlan:
    """Return a cell per field with every classifier and init; the sizes run only on SIRENs."""
    full, cells = options.scale == "paper", []
    for signals, field in chosen_cells(scale_named("cpu"), options.cells or CELLS):
        specs = classifiers(full=full, sizes=field == "siren")
        names = tuple(n for n, c in specs.items() if options.classifier in (None, c.name))
        cells.append(
            CellPlan(
                phase="phase2",
                signals=SignalsConfig(name=signals, subset=None if full else 1000),
                field=field,
                space={"init": INIT, "classifier": Categorical(names), "steps": Categorical((200,) if full else (75,))},
                fixed={**GRID_FIXED[field], "hidden": 32},
                classifiers=specs,
                replicates=options.replicates or 1,
            )
        )
    return StudyPlan(study=options.study or "classifier-ablation", cells=tuple(cells), seed=options.seed)


if __name__ == "__main__":
    main(
        plan,
        about="Classifier x init x field, and sizes of MLP and GNN. --scale paper uses published widths, any other "
        "scale reduced ones. Run it again to continue.",
    )
