"""The complete training description of a trial."""

import json
from collections.abc import Mapping
from typing import Annotated, Literal, Self, get_args

from pydantic import Field, ValidationError, model_validator

from hpo.config import INHERITED, OUTSIDE, PER_LANE_UNLESS_0, Config, JsonTree, PerLane, per_lane_paths
from hpo.errors import SpaceError
from hpo.records import Params, ParamValue
from hpo.spaces.coordinates import COORDINATES, to_raw
from hpo.spaces.spelling import did_you_mean
from hpo.training.augmentations import Augment
from hpo.training.batch_growth import BatchGrowth
from hpo.training.data.batches import BatchOrder
from hpo.training.diagnostics.options import Diagnostics
from hpo.training.early_stopping import EarlyStopping
from hpo.training.initializers import Initializer, KaimingNormal
from hpo.training.losses import CrossEntropy, Distillation, Loss
from hpo.training.models import Model
from hpo.training.optimizers import LrFactor, Optimizer, Sgd
from hpo.training.precision import Precision
from hpo.training.regularizers import Regularizer
from hpo.training.schedules import Cosine, Schedule


class Recipe(Config):
    """Everything that decides what one trial learns from given data and luck."""

    model: Annotated[Model, INHERITED]
    """The network."""
    initializer: Annotated[Initializer, OUTSIDE, INHERITED] = KaimingNormal()
    """Of the network's weights."""
    frozen_layers: Annotated[int, INHERITED, Field(ge=0)] = 0
    """Layers with weights, counted from the inputs, that keep their initial weights; norms after one belong to it."""
    frozen_norms: bool = False
    """Whether batch norms among the frozen layers keep their running statistics, and normalise by them, too."""
    optimizer: Annotated[Optimizer, INHERITED] = Sgd()
    """What turns gradients into steps."""
    schedule: Annotated[Schedule, OUTSIDE] = Cosine()
    """The learning rate over progress."""
    lr_factor: LrFactor = LrFactor()
    """On the learning rate of biases, of the last layer, and of layers by their depth."""
    loss: Loss = CrossEntropy()
    """What is minimised in training."""
    regularizer: Regularizer = Regularizer()
    """What keeps weights small, or stirs them."""
    augmentation: Augment = Augment()
    """Changes to the training inputs."""
    grad_clip: Annotated[float, PER_LANE_UNLESS_0, Field(ge=0)] = 0.0
    """Largest norm of a trial's whole gradient (Pascanu et al. 2013); 0: not clipped."""
    ema_half_life: Annotated[float, PER_LANE_UNLESS_0, Field(ge=0)] = 0.0
    """Epochs in which a weight's share in the running average of weights halves; 0: no average is kept."""
    swa_start: Annotated[float, PER_LANE_UNLESS_0, INHERITED, Field(ge=0, lt=1)] = 0.0
    """Share of training after which the weights at the ends of epochs are averaged (Izmailov et al. 2018); 0: never."""
    swa_lr: Annotated[float, OUTSIDE, Field(ge=0)] = 0.0
    """Factor on the peak learning rate that stays from `swa_start` on, in place of the schedule; 0: the schedule's."""
    precision: Precision = "float32"
    """Number format of products: bfloat16 by autocast; tf32 is for GPUs, and float32 elsewhere."""
    batch_size: Annotated[int, Field(ge=1)] = 64
    """Examples per step, at first; the last batch of an epoch may be smaller."""
    batch_growth: BatchGrowth = BatchGrowth()
    """Larger batches as training goes on, in place of a lower learning rate."""
    batches: BatchOrder = "shuffled"
    """How the examples of an epoch are chosen: each once, each class as often, or every class in every batch."""
    epochs: Annotated[int, Field(ge=1)] = 27
    """Full length, for which the schedule is planned."""
    early_stopping: Annotated[EarlyStopping, OUTSIDE] = EarlyStopping()
    """Whether a trial may end before, at its best epoch."""
    snapshots: Annotated[Literal["last", "all"], OUTSIDE] = "last"
    """Networks that a trial leaves for ensembles: its last, or those at the ends of the schedule's cycles, too."""
    diagnostics: Annotated[Diagnostics, OUTSIDE] = Diagnostics()
    """What is measured of the inside of networks as they train."""

    @model_validator(mode="after")
    def _keep_one_average(self) -> Self:
        if self.ema_half_life > 0 and self.swa_start > 0:
            raise ValueError(
                "only one average of weights can be kept, but got "
                f"ema_half_life={self.ema_half_life} and swa_start={self.swa_start}. Set one of them to 0."
            )
        return self

    @model_validator(mode="after")
    def _teach_whole_examples(self) -> Self:
        if isinstance(self.loss, Distillation) and self.augmentation.mix != "none":
            raise ValueError(
                "loss.kind distillation needs augmentation.mix: none, for its teacher says nothing of mixed examples, "
                f"but got mix: {self.augmentation.mix}. Change one of them."
            )
        return self

    def batch_size_at(self, epoch: int) -> int:
        """Examples per step of an epoch, from 1."""
        return self.batch_growth.size(self.batch_size, epoch, self.epochs)


def with_params(recipe: Recipe, params: Params) -> Recipe:
    """`recipe` with the searched values in place.

    Where a `kind` changes, what the new kind shares with the old keeps its value and the rest takes its default.
    Effective coordinates must stand beside the raw values that they come to, which `raw_params` knows.

    Raises:
        SpaceError: if a path does not exist in the recipe, or a kind does not exist.
        pydantic.ValidationError: if a value does not fit its field.
    """
    assert all(COORDINATES[path].raw in params for path in params.keys() & COORDINATES), "see raw_params"
    tree = recipe.as_tree()
    for path in sorted(params.keys() - COORDINATES, key=lambda path: not path.endswith(".kind")):
        if path.endswith(".kind"):
            _set_kind(tree, path, params[path])
        else:
            _set(tree, path, params[path])
    return Recipe.model_validate_json(json.dumps(tree))


def raw_params(recipe: Recipe, params: Params, num_train: int) -> Params:
    """What the effective coordinates among `params` come to, by raw path, with so many training examples."""
    effective = {path: value for path, value in params.items() if path in COORDINATES}
    if not effective:
        return {}
    rest = {path: value for path, value in params.items() if path not in effective}
    return to_raw(effective, flatten(with_params(recipe, rest).as_tree()), num_train)


def kinds_of(section: str) -> dict[str, type[Config]]:
    """What a section of the recipe can be, by `kind`; nothing where there is no choice."""
    annotation = Recipe.model_fields[section].annotation
    members = [member for member in get_args(annotation) or (annotation,) if isinstance(member, type)]
    kinds = [member for member in members if issubclass(member, Config) and "kind" in member.model_fields]
    return {member.model_fields["kind"].default: member for member in kinds}


def signature(recipe: Recipe) -> str:
    """What trials must have in common to train as lanes of one program: every static field of what is inside one."""
    free = set(per_lane_paths(recipe))
    free |= {name for name, field in Recipe.model_fields.items() if OUTSIDE in field.metadata}
    fields = flatten(recipe.as_tree()).items()
    return repr(sorted((path, value) for path, value in fields if not {path, path.partition(".")[0]} & free))


def state_signature(recipe: Recipe) -> str:
    """What a trial must have in common with another to go on from its state.

    In sections that are INHERITED, numbers that are PER_LANE may differ, but not in whether they are 0: at 0 there may
    be a layer less, or no buffer of the optimizer.
    """
    kept: JsonTree = {}
    for name, field in Recipe.model_fields.items():
        section = getattr(recipe, name)
        if INHERITED in field.metadata and isinstance(section, Config):
            kept |= {f"{name}.{key}": value for key, value in _without_numbers(section).items()}
        elif INHERITED in field.metadata:
            kept[name] = section
    return repr(sorted(kept.items()))


def flatten(tree: Mapping[str, object], prefix: str = "") -> JsonTree:
    """Nested dicts as one, by dotted path; lists are leaves."""
    flat: JsonTree = {}
    for key, value in tree.items():
        match value:
            case dict():
                flat |= flatten(value, f"{prefix}{key}.")
            case _:
                flat[prefix + key] = value
    return flat


def _without_numbers(section: Config) -> JsonTree:
    """Its fields; of numbers that are PER_LANE only whether they are other than 0."""
    marked = {
        name
        for name, field in type(section).model_fields.items()
        if any(isinstance(mark, PerLane) for mark in field.metadata)
    }
    return {name: value != 0 if name in marked else value for name, value in section.as_tree().items()}


def _set_kind(tree: JsonTree, path: str, kind: ParamValue) -> None:
    section = path.removesuffix(".kind")
    if section not in tree or not kinds_of(section):
        raise _no_such_path(tree, path)
    kinds = kinds_of(section)
    if not isinstance(kind, str) or kind not in kinds:
        guess = did_you_mean(str(kind), kinds)
        raise SpaceError(f"{path}: must be one of {', '.join(kinds)}, but got {kind}.{guess}")
    shared = {name: tree[section][name] for name in kinds[kind].model_fields if name in tree[section]}
    tree[section] = _fitting(kinds[kind], shared | {"kind": kind}).as_tree()


def _fitting(config: type[Config], tree: JsonTree) -> Config:
    """The config, without values that meant something else to another kind: those take their defaults."""
    try:
        return config.model_validate_json(json.dumps(tree))
    except ValidationError as error:
        misfits = {str(problem["loc"][0]) for problem in error.errors() if problem["loc"]}
        if not misfits:
            raise
        return config.model_validate_json(json.dumps({name: tree[name] for name in tree if name not in misfits}))


def _set(tree: JsonTree, path: str, value: ParamValue) -> None:
    *sections, name = path.split(".")
    section = tree
    for key in sections:
        section = section.get(key, {})
        if not isinstance(section, dict):
            raise _no_such_path(tree, path)
    if name not in section or isinstance(section[name], dict):
        raise _no_such_path(tree, path)
    section[name] = value


def _no_such_path(tree: JsonTree, path: str) -> SpaceError:
    paths = flatten(tree)
    guess = did_you_mean(path, paths) or f" It has: {', '.join(paths)}."
    return SpaceError(f"{path}: must be a value of the recipe, but there is none.{guess}")
