"""Accuracy of the best weight classifiers: one study per question, with a recipe tuned on validation data.

python studies/classifier_targets.py --study shared-start --replicates 3
python studies/classifier_targets.py --study random-1-view --replicates 3
nefstudy report random-1-view
"""

from collections.abc import Mapping
from dataclasses import replace

from nefstudy.config import AugmentConfig, ClassifierConfig, SignalsConfig
from nefstudy.errors import BadConfig
from nefstudy.scalars import Scalar
from nefstudy.study.command import main
from nefstudy.study.options import StudyOptions
from nefstudy.study.plan.study_plan import CellPlan, StudyPlan
from nefstudy.study.space import GRID_FIXED, Categorical

FLAT = ClassifierConfig(name="mlp", epochs=15, lr=3e-3, members=5)
SIGN = ClassifierConfig(
    params={"width": 48, "sweeps": 2, "pooled": 128, "dropout": 0.2, "phases": False},
    epochs=40,
    lr=3e-3,
    average=0.99,
    augment=AugmentConfig(rotate=20, scale=0.2, shift=0.15),
)
SHORT_FLAT = ClassifierConfig(name="mlp", epochs=20, lr=3e-3, members=5)
SHORT_SIGN = ClassifierConfig(epochs=20, lr=3e-3)
OF_VIEWS = SIGN.model_copy(update={"epochs": 10, "members": 3})  # each epoch shows every view of every digit
PUBLISHED = ClassifierConfig(name="gnn", epochs=1)  # nearly three times the CPU time of SIGN's 40 epochs
LIFTED = ClassifierConfig(name="gnn-published", epochs=10, lr=3e-3)

DIGITS = SignalsConfig(name="mnist5k")
FASHION = SignalsConfig(name="fashion-mnist", subset=20_000)


def cell(
    init: str,
    classifier: ClassifierConfig,
    *,
    steps: tuple[int, ...],
    field: str = "siren",
    signals: SignalsConfig = DIGITS,
    **fixed: Scalar,
) -> CellPlan:
    """Return a cell with 32 hidden units, by default on all 5,000 digits.

    Everything else is as in Table 3 of the supplement of Papa et al. 2024.
    """
    return CellPlan(
        phase="phase2",
        signals=signals,
        field=field,
        space={"steps": Categorical(steps)},
        fixed={**GRID_FIXED[field], "hidden": 32, "init": init, **fixed},
        classifier=classifier,
    )


QUESTIONS: Mapping[str, CellPlan] = {
    "shared-start": cell("shared", FLAT, steps=(25, 50, 75)),
    "random-1-view": cell("random", SIGN, steps=(200,)),
    "random-1-view-three": cell("random", SIGN.model_copy(update={"members": 3}), steps=(200,)),
    "random-1-view-five": cell("random", SIGN.model_copy(update={"members": 5}), steps=(200,)),
    "random-5-views": cell(
        "random", OF_VIEWS, steps=(75,), views=5, lr=4e-3
    ),  # 75 steps at 4e-3 reach the PSNR of 190 at 1e-3
    "random-rffnet": cell("random", SIGN, steps=(500,), field="rffnet", lr=4e-3),
    "random-mfn": cell("random", SIGN, steps=(500,), field="mfn"),
    "shared-sign": cell("shared", SIGN, steps=(75,)),
    "shared-gnn-published": cell("shared", LIFTED, steps=(75,)),
    "short-flat": cell("shared", SHORT_FLAT, steps=(5, 10), field="rffnet", hidden=16),
    "short-sign": cell("shared", SHORT_SIGN, steps=(5, 10), field="rffnet", hidden=16),
    "fashion-shared": cell("shared", FLAT.model_copy(update={"members": 1}), steps=(10, 25, 50, 100), signals=FASHION),
    "published-gnn": cell("random", PUBLISHED, steps=(200,)),
    "random-gnn-published": cell("random", LIFTED, steps=(200,)),
}

READINGS = {"reading-plain": "plain", "reading-centered": "centered"}
"""Questions about 800 digits and short fits of every field from a shared init, by the reading of the weights."""


def reading_cells(reading: str) -> tuple[CellPlan, ...]:
    """Return a cell for each field with 16 and 32 hidden units and 10, 25 and 75 steps."""
    classifier = ClassifierConfig(epochs=20, lr=3e-3, reading=reading)
    digits = SignalsConfig(name="mnist5k", subset=800)
    return tuple(
        replace(
            cell("shared", classifier, steps=(10, 25, 75), field=field, signals=digits),
            space={"hidden": Categorical((16, 32)), "steps": Categorical((10, 25, 75))},
        )
        for field in ("siren", "rffnet", "mfn")
    )


def plan(options: StudyOptions) -> StudyPlan:
    """Return the study for the question that --study names.

    Raises:
        BadConfig: the question is unknown.
    """
    question = options.study or ""
    if question not in (allowed := [*QUESTIONS, *READINGS]):
        raise BadConfig(f"unknown question {question!r}: allowed are {', '.join(allowed)}; pass one as --study")
    cells = reading_cells(READINGS[question]) if question in READINGS else (QUESTIONS[question],)
    asked = tuple(replace(one, replicates=options.replicates or 1) for one in cells)
    return StudyPlan(study=question, cells=asked, seed=options.seed)


if __name__ == "__main__":
    main(
        plan,
        about="Accuracy of classifiers of weights. --study is required and names the question; of the other options, "
        "only --seed and --replicates change the plan. Run it again to continue.",
    )
