"""Frozen, validated configurations with canonical JSON and digests.

A configuration states completely *what* is computed: equal configurations are the same experiment,
and the digest of the canonical JSON identifies it everywhere (resume, deduplication, paths, seeds,
MLflow tags). *How* it was computed (engine, versions, device) is a fingerprint, stored elsewhere.

    SignalsConfig ─┐
    FieldConfig ───┤
    InitConfig ────┼─ NeuralDatasetConfig ──┬─ FitConfig    which rungs, by which engine
    OptimizerConfig┘   (digest: the dataset)└─ TrialConfig  of a task, such as one rung read by a classifier
                                                            (digest: the trial's key)
"""

from collections.abc import Mapping
from functools import cache, cached_property
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
    """Base class of all configurations, which are frozen, have only finite numbers and reject unknown keys.

    Attributes:
        late: keys added after a release. The JSON omits them while they have their default, so configurations that
            do not use them keep their digests.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    late: ClassVar[frozenset[str]] = frozenset()

    @model_serializer(mode="wrap")
    def _without_late_defaults(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        data: dict[str, Any] = dump(self)
        for name in self.late & data.keys():
            if getattr(self, name) == type(self).model_fields[name].get_default(call_default_factory=True):
                del data[name]
        for name in _holding_sets(type(self)) & data.keys():
            data[name] = _ordered(getattr(self, name), data[name])
        return data

    def canonical_json(self) -> str:
        """Return the canonical JSON of this configuration: sorted keys, no spaces."""
        return canonical_json(self.model_dump(mode="json"))

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy with some values changed. The cached digest, which pydantic would copy, is dropped."""
        copied = super().model_copy(update=update, deep=deep)
        copied.__dict__.pop("digest", None)
        return copied

    @cached_property
    def digest(self) -> str:
        """First 20 hex digits of the SHA-256 of the canonical JSON."""
        return digest(self.canonical_json())


@cache
def _holding_sets(model: type[BaseModel]) -> frozenset[str]:
    """Return the names of a model's fields whose annotations allow sets."""
    words = ("set[", "Set[", "'set'", "'frozenset'", "Any", "object")
    annotations = {name: repr(field.annotation) for name, field in model.model_fields.items()}
    return frozenset(name for name, text in annotations.items() if any(word in text for word in words))


def _ordered(value: object, dumped: Any) -> Any:
    """Return a dumped value with its sets sorted, because the order of string sets varies between processes."""
    if isinstance(value, frozenset | set) and isinstance(dumped, list):
        return sorted(dumped, key=canonical_json)
    if isinstance(value, list | tuple) and isinstance(dumped, list):
        return [_ordered(*pair) for pair in zip(value, dumped, strict=True)]
    if isinstance(value, dict) and isinstance(dumped, dict):
        return {name: _ordered(*pair) for name, *pair in zip(dumped, value.values(), dumped.values(), strict=True)}
    return dumped


class SignalsConfig(Config):
    """A set of signals: catalog name, optional stratified subset, and the seed for split and order.

    `content` is the content hash of the data; the planner fills it in, so a changed file is a different
    experiment. `options` belong to the source, such as a folder's `path`. `without_test` leaves out the test signals
    and moves training signals to validation in their place (`signals.splits.without_test`).
    """

    late: ClassVar[frozenset[str]] = frozenset({"without_test"})

    name: Name
    subset: Annotated[int, Field(ge=1)] | None = None
    split_seed: Seed = 1
    options: dict[str, Scalar] = {}
    content: str | None = None
    without_test: bool = False


class FieldConfig(Config):
    """A neural field: name and hyperparameters. `fields.complete` fills in the defaults."""

    name: Name
    params: dict[str, Scalar] = {}


class OptimizerConfig(Config):
    """The optimizer of a fit: full-batch steps at a constant learning rate.

    `adamw` decouples weight decay from the gradient (Loshchilov & Hutter 2019); at weight decay 0 it
    is Adam with betas (.9, .999). `sgd` decouples weight decay in the same way.
    """

    name: Literal["adamw", "sgd"] = "adamw"
    lr: Annotated[float, Field(gt=0, le=1e9)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 0.0


class InitConfig(Config):
    """The initialization of a neural dataset's fields: a name in `INITS` and its parameters.

    A bare string is accepted as a name without parameters: `init="shared"`.
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
        init: initial parameters, such as `random` (drawn per seed and signal id) or `shared` (one draw for all).
        views: independent fits of each signal; they differ only if the init is not shared.
        batch_points: coordinates per step, drawn from a random stream per signal; None uses an image's whole grid, and
            2,048 points inside and 2,048 outside a shape.
        stop_psnr: PSNR in dB at which a signal's fit stops, checked every 10 steps; None disables early stopping.
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
        """The default cell label, `signals/field`."""
        return f"{self.signals.name}/{self.field.name}"


class FitConfig(Config):
    """One fit: a recipe, the step counts at which to take snapshots, and how to compute it.

    Only `dataset` is part of the identity. `engine` and `threads` go into the fingerprint. `chunk` and
    `chunk_halvings` (one per attempt that ran out of memory) do not affect results. `fits_per_shape` is the number of
    fits over which `auto` spreads the cost of compiling that shape; if it is None, `auto` considers
    whether this machine has already compiled the shape.
    """

    dataset: NeuralDatasetConfig
    rungs: Annotated[tuple[Steps, ...], Field(min_length=1)]
    engine: Literal["auto", "eager", "compiled", "native", "fused"] = "auto"
    chunk: Annotated[int, Field(ge=1)] | None = None
    chunk_halvings: Annotated[int, Field(ge=0, le=60)] = 0
    fits_per_shape: Annotated[int, Field(ge=1)] | None = None
    threads: Annotated[int, Field(ge=1)] = 1

    @model_validator(mode="after")
    def _ascending(self) -> "FitConfig":
        if list(self.rungs) != sorted(set(self.rungs)):
            raise ValueError(f"rungs {list(self.rungs)} must ascend without repeats")
        return self


class AugmentConfig(Config):
    """Augmentation of the weights in a training batch; off by default (see classifiers/augment.py).

    Args:
        rotate: largest angle in degrees.
        scale: largest relative scaling: 0.1 means 1 / 1.1 to 1.1.
        shift: largest translation along each axis; the grid is [-1, 1].
        permute, flip, turn: apply a random element of the field's symmetry group.
        noise: standard deviation relative to each parameter tensor's root mean square.
        dropout: probability of setting a weight to zero.
        quantile: largest fraction of each tensor's weights, the smallest ones, to set to zero.
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
    """A classifier of field weights and its training recipe.

    Defaults follow the recipe common to public weight-space code: AdamW, lr 1e-3, weight decay 5e-4,
    warm-up then cosine decay, gradient norm clipped at 10.

    Args:
        average: decay per step of a running mean of the weights; the mean is scored. 0 turns averaging off.
        members: size of an ensemble: networks trained in parallel from separate initial weights, predicting jointly.
        mixup: alpha of Beta(alpha, alpha), which weights pairs of blended rows in a batch. 0 turns mixup off.
        reading: `plain` reads each weight relative to the size of its tensor. `centered` also reads its difference from
            the mean of that entry over the training fields, relative to the size of the tensor's differences; `mlp`
            reads only the difference. `auto` is `centered` for fields with a shared init, otherwise `plain`.
    """

    name: Name = "gnn-sign"
    params: dict[str, Scalar] = {}
    reading: Literal["auto", "plain", "centered"] = "auto"
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
    """Base class of task configurations, each of which fully specifies one trial. Its digest is the trial's key.

    Args:
        task: name under which a plan looks up the code that runs the trial.
    """

    task: Name
    seed: Seed = 0

    @property
    def key(self) -> str:
        """The key of the trial: the digest of its configuration."""
        return self.digest


C = TypeVar("C", bound=Config)


def parse(model: type[C], data: Mapping[str, Any] | str, *, where: str) -> C:
    """Return a configuration parsed from JSON text or plain data.

    Raises:
        BadConfig: the first validation error: its path, the value and what is allowed.
    """
    try:
        if isinstance(data, str):
            return model.model_validate_json(data)
        return model.model_validate(data)
    except ValidationError as error:
        raise BadConfig(first_problem(error, where=where)) from None


def first_problem(error: ValidationError, *, where: str) -> str:
    """Return the first problem of a validation error as one line: path, value and allowed values."""
    problem = error.errors()[0]
    path = ".".join(str(part) for part in problem["loc"]) or "value"
    given = repr(problem["input"])
    given = given if len(given) <= 80 else given[:77] + "..."
    more = f" ({error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return f"{where}: {path} = {given}: {problem['msg']}{more}; correct it and run again"
