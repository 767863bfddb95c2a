"""Frozen, validated configurations; their canonical JSON; their digests.

A configuration says *what is asked*, completely: two equal configurations are the same experiment,
and the digest of the canonical JSON is its identity everywhere (resume, deduplication, paths, seeds,
MLflow tags). *How* it was computed (engine, versions, device) is a fingerprint kept elsewhere.

    SignalsConfig ─┐
    FieldConfig ───┤
    InitConfig ────┼─ NeuralDatasetConfig ──┬─ FitConfig    which rungs, by which engine
    OptimizerConfig┘   (digest: the dataset)└─ TrialConfig  of a task, such as one rung read by a classifier
                                                            (digest: the trial's key)
"""

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from nefstudy.errors import BadConfig
from nefstudy.scalars import Scalar, canonical_json, digest

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Steps = Annotated[int, Field(ge=0, le=10_000_000)]


class Config(BaseModel):
    """Base of every configuration: frozen, finite, and closed to unknown keys.

    Attributes:
        late: keys added after a release. They are left out of the JSON while they have their default, so that
            configurations that do not use them keep their digests.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    late: ClassVar[frozenset[str]] = frozenset()

    @model_serializer(mode="wrap")
    def _without_late_defaults(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        data: dict[str, Any] = dump(self)
        fields = type(self).model_fields
        return {k: v for k, v in data.items() if k not in self.late or getattr(self, k) != fields[k].default}

    def canonical_json(self) -> str:
        """The one JSON text of this configuration: sorted keys, no spaces."""
        return canonical_json(self.model_dump(mode="json"))

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy with some values changed; pydantic would hand on the digest of the original."""
        copied = super().model_copy(update=update, deep=deep)
        copied.__dict__.pop("digest", None)
        return copied

    @cached_property
    def digest(self) -> str:
        """First 20 hex digits of the SHA-256 of the canonical JSON."""
        return digest(self.canonical_json())


class SignalsConfig(Config):
    """Which signals: a catalogue name, a stratified subset of it, and the seed of both draws.

    `content` is the content hash of the data the catalogue found; the planner fills it in, so a
    changed file is a different experiment. `options` are the source's own (a folder's path, say).
    """

    name: Name
    subset: Annotated[int, Field(ge=1)] | None = None
    split_seed: Seed = 1
    options: dict[str, Scalar] = {}
    content: str | None = None


class FieldConfig(Config):
    """Which neural field, with every one of its hyperparameters written out."""

    name: Name
    params: dict[str, Scalar] = {}


class OptimizerConfig(Config):
    """How a field is fitted: full-batch steps at a constant learning rate.

    `adamw` decouples weight decay from the gradient (Loshchilov & Hutter 2019); at weight decay 0 it
    is Adam with betas (.9, .999). `sgd` decouples it in the same way.
    """

    name: Literal["adamw", "sgd"] = "adamw"
    lr: Annotated[float, Field(gt=0, le=1e9)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 0.0


class InitConfig(Config):
    """How the fields of a neural dataset are initialized: a name of `INITS` and that code's parameters.

    A bare name is read as one without parameters: `init="shared"`.
    """

    name: Name
    params: dict[str, Scalar] = {}

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, given: object) -> object:
        return {"name": given} if isinstance(given, str) else given


class NeuralDatasetConfig(Config):
    """The recipe of a neural dataset. Its digest names the dataset; step counts are its rungs.

    Args:
        init: where fits start, such as `random` (drawn per seed and signal id) or `shared` (one draw for all).
        views: independent fits of each signal; only an init that is not shared makes them differ.
        batch_points: coordinates per step drawn from the signal's own stream; None takes an image's whole grid, and of
            a shape 2,048 points inside and as many outside.
        stop_psnr: decibels at which a signal's fit stops while others go on, looked at every 10 steps; None never.
    """

    signals: SignalsConfig
    field: FieldConfig
    init: InitConfig
    optimizer: OptimizerConfig = OptimizerConfig()
    views: Annotated[int, Field(ge=1, le=1000)] = 1
    batch_points: Annotated[int, Field(ge=1)] | None = None
    stop_psnr: Annotated[float, Field(gt=0, le=100)] | None = None
    seed: Seed = 0

    @property
    def cell(self) -> str:
        """`signals/field`, one column of the study."""
        return f"{self.signals.name}/{self.field.name}"


class FitConfig(Config):
    """One fit: a recipe, the ladder of step counts to snapshot, and how to compute it.

    Only `dataset` is identity; `engine` and `threads` reach the fingerprint, `chunk` and `halvings` (of the
    chunk, after an attempt that ran out of memory) change nothing. `fits` of one shape that share the cost of
    compiling it sway `auto`, which otherwise looks whether this machine has compiled the shape before.
    """

    dataset: NeuralDatasetConfig
    rungs: Annotated[tuple[Steps, ...], Field(min_length=1)]
    engine: Literal["auto", "eager", "compiled", "fused"] = "auto"
    chunk: Annotated[int, Field(ge=1)] | None = None
    halvings: Annotated[int, Field(ge=0, le=60)] = 0
    fits: Annotated[int, Field(ge=1)] | None = None
    threads: Annotated[int, Field(ge=1)] = 1

    @model_validator(mode="after")
    def _ascending(self) -> "FitConfig":
        if list(self.rungs) != sorted(set(self.rungs)):
            raise ValueError(f"rungs {list(self.rungs)} must ascend without repeats")
        return self


class AugmentConfig(Config):
    """What is done to the weights of a training batch; nothing by default (see classifiers/augment.py).

    Args:
        rotate: largest angle, degrees.
        scale: largest change of size: 0.1 is from 1 / 1.1 to 1.1.
        shift: largest translation along each axis; the grid is [-1, 1].
        permute, flip, turn: draw an element of the field's symmetry group.
        noise: standard deviation relative to each parameter tensor's root mean square.
        dropout: probability that a weight is set to zero.
        quantile: largest fraction of each tensor's smallest weights that is set to zero.
    """

    rotate: Annotated[float, Field(ge=0, le=180)] = 0.0
    scale: Annotated[float, Field(ge=0, le=9)] = 0.0
    shift: Annotated[float, Field(ge=0, le=2)] = 0.0
    permute: bool = False
    flip: bool = False
    turn: bool = False
    noise: Annotated[float, Field(ge=0, le=10)] = 0.0
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    quantile: Annotated[float, Field(ge=0, lt=1)] = 0.0


class ClassifierConfig(Config):
    """Which classifier reads the weights, and how it is trained.

    Defaults follow the recipe common to public weight-space code: AdamW, lr 1e-3, weight decay 5e-4,
    warm-up then cosine decay, gradient norm clipped at 10.

    Args:
        average: decay of a running mean of the weights, step by step; the mean is what is scored. 0 keeps none.
        members: readers trained side by side from initial weights of their own, which answer together.
        mixup: alpha of Beta(alpha, alpha), by which the rows of a batch are blended in pairs. 0 blends none.
    """

    name: Name = "gnn-sign"
    params: dict[str, Scalar] = {}
    epochs: Annotated[int, Field(ge=1, le=100_000)] = 50
    batch_size: Annotated[int, Field(ge=1)] = 64
    lr: Annotated[float, Field(gt=0, le=10)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 5e-4
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.1
    clip_norm: Annotated[float, Field(gt=0)] = 10.0
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.1
    patience: Annotated[int, Field(ge=1)] | None = None
    average: Annotated[float, Field(ge=0, lt=1)] = 0.0
    members: Annotated[int, Field(ge=1, le=100)] = 1
    mixup: Annotated[float, Field(ge=0, le=100)] = 0.0
    augment: AugmentConfig = AugmentConfig()


class TrialConfig(Config):
    """Base of every task's configuration: one experiment, written out completely. Its digest is its key.

    Args:
        task: name of the task, by which a plan finds the code that runs it.
    """

    task: Name
    seed: Seed = 0

    @property
    def key(self) -> str:
        """The trial's identity."""
        return self.digest


C = TypeVar("C", bound=Config)


def parse(model: type[C], data: Mapping[str, Any] | str, *, where: str) -> C:
    """A configuration from JSON text or plain data.

    Raises:
        BadConfig: the first thing wrong, with its path, the value and what is allowed.
    """
    try:
        if isinstance(data, str):
            return model.model_validate_json(data)
        return model.model_validate(data)
    except ValidationError as error:
        raise BadConfig(first_problem(error, where=where)) from None


def first_problem(error: ValidationError, *, where: str) -> str:
    """One line for the first problem in a validation error: where, what was given, what is allowed."""
    problem = error.errors()[0]
    path = ".".join(str(part) for part in problem["loc"]) or "value"
    given = repr(problem["input"])
    given = given if len(given) <= 80 else given[:77] + "..."
    more = f" ({error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return f"{where}: {path} = {given}: {problem['msg']}{more}; correct it and run again"
