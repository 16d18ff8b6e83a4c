"""Rules that hold between the fields of a sweep: pure functions that return every problem they find."""

from collections.abc import Iterator, Mapping, Sequence

from pydantic import ValidationError

from hpo.errors import Problem, SpaceError
from hpo.records import Params, ParamValue
from hpo.scheduling import FreezeThaw, NoScheduler, Scheduler
from hpo.search.samplers import Curves, Sampler
from hpo.spaces import Constant, Domain, LogUniform
from hpo.spaces.conditions import Conditions
from hpo.spaces.coordinates import COORDINATES, PREFIX
from hpo.spaces.possible import Presence, may_be
from hpo.spaces.space import Space
from hpo.spaces.values import shown
from hpo.sweep.choosing import CYCLES
from hpo.sweep.wording import listed, requirement
from hpo.training.lr_range import LrRange
from hpo.training.recipe import Recipe, flatten, kinds_of, with_params

AVERAGES = ("ema_half_life", "swa_start")
"""Of which one that is not 0 keeps an average of weights."""
RIVALS = (
    ("augmentation.strength", "augmentation.flip"),
    ("augmentation.strength", "augmentation.translate"),
    ("augmentation.strength", "augmentation.cutout"),
    AVERAGES,
)
"""Of which a trial may have only one, the other being 0 or none."""

FILES = ("initializer.bundle", "loss.teacher")
"""Paths of the recipe that are read from disk."""


def space_problems(recipe: Recipe, space: Space) -> list[Problem]:
    """Every path must exist in the recipe, under every kind that is searched, and every value must fit its field.

    Effective coordinates have rules of their own.
    """
    if all(isinstance(domain, Constant) for domain in space.values()):
        message = (
            "must hold at least one domain of several values, but holds none. Add one, such as optimizer.lr: "
            "loguniform(1e-4, 1)."
        )
        return [Problem(key="space", message=message)]
    raw = {path: domain for path, domain in space.items() if not path.startswith(PREFIX)}
    found = ((path, _path_problem(recipe, space, path, domain)) for path, domain in raw.items())
    return [Problem(key=f"space.{path}", message=message) for path, message in found if message]


def point_problems(space: Space, points: Sequence[Params]) -> list[Problem]:
    """Every point must name searched paths and lie within their domains."""
    return list(_point_problems(space, points))


def pair_problems(sampler: Sampler, scheduler: Scheduler) -> list[Problem]:
    """Who goes by what trials promise needs a sampler that knows it."""
    if not isinstance(scheduler, FreezeThaw) or isinstance(sampler, Curves):
        return []
    message = (
        f"freeze_thaw needs sampler.kind curves, whose model says what trials promise, but got {sampler.kind}. "
        "Use sampler: {kind: curves}, or another scheduler."
    )
    return [Problem(key="scheduler.kind", message=message)]


def lr_range_problems(lr_range: LrRange | None, space: Space) -> list[Problem]:
    """A range test must have bounds to propose, and one optimizer to propose them for."""
    if lr_range is None:
        return []
    domain = space.get("optimizer.lr")
    if not isinstance(domain, LogUniform):
        got = "it is not searched" if domain is None else f"its domain is {domain.distribution}"
        message = f"needs optimizer.lr: loguniform(...) in the space, to set its bounds, but {got}. Change one of them."
        return [Problem(key="lr_range", message=message)]
    if "optimizer.kind" in space:
        message = (
            "needs one optimizer, for each has bounds of its own, but optimizer.kind is searched. "
            "Drop it from the space, or drop lr_range."
        )
        return [Problem(key="lr_range", message=message)]
    return []


def course_problems(recipe: Recipe, space: Space, scheduler: Scheduler) -> list[Problem]:
    """A trial whose losses decide how it trains on must train to its end: only so are values comparable."""
    if isinstance(scheduler, NoScheduler):
        return []
    return [
        Problem(
            key=f"space.{path}" if path in space else path,
            message=f"must not be {shown(value)} with scheduler.kind {scheduler.kind}, {reason}",
        )
        for path, value, reason in _courses(recipe, space)
    ]


def follows_losses(recipe: Recipe, space: Space) -> Iterator[str]:
    """What makes the course of trials depend on their losses, or rise and fall, in words."""
    for path, value, _ in _courses(recipe, space):
        yield f"{path} {shown(value)} follows the losses of each trial"
    kinds = _possible(recipe, space, "schedule.kind")
    yield from (f"schedule.kind {kind} lets losses rise again" for kind in kinds if kind in CYCLES)


def control_problems(recipe: Recipe, space: Space, *, shuffles_labels: bool) -> list[Problem]:
    """A control that must learn nothing from its labels must not be told the true ones by a teacher."""
    if not shuffles_labels or "distillation" not in _possible(recipe, space, "loss.kind"):
        return []
    message = (
        "must be false with loss.kind distillation, whose teacher has not seen the labels shuffled: the control would "
        "not stay at chance. Set it to false, or use another loss."
    )
    return [Problem(key="data.shuffle_labels", message=message)]


def kind_variants(recipe: Recipe, space: Space, path: str) -> list[Recipe]:
    """The recipe under every kind that `path` will meet: as it is, where the kind of its section is not searched.

    Raises:
        SpaceError: if a kind does not exist, or conditions go round in a circle.
        pydantic.ValidationError: if a kind needs more settings.
    """
    section = (COORDINATES[path].raw if path in COORDINATES else path).partition(".")[0]
    kind_path = f"{section}.kind"
    if kind_path not in space or path == kind_path:
        return [recipe]
    conditions = Conditions(space)
    kinds = [
        kind for kind in space[kind_path].ends() if may_be(space, conditions, {kind_path: kind, path: Presence.PRESENT})
    ]
    base = [recipe] if space[kind_path].when is not None else []  # where the kind's own condition does not hold
    return [*base, *(with_params(recipe, {kind_path: kind}) for kind in kinds)]


def _courses(recipe: Recipe, space: Space) -> Iterator[tuple[str, ParamValue, str]]:
    """Path, value and reason of whatever makes the course of some trial depend on its losses."""
    if "plateau" in _possible(recipe, space, "schedule.kind"):
        reason = "which would stop trials by the losses that their rates have followed."
        yield "schedule.kind", "plateau", f"{reason} Use scheduler: {{kind: none}}, or another schedule."
    path = "early_stopping.patience"
    patience = next((value for value in _possible(recipe, space, path) if isinstance(value, int) and value > 0), None)
    if patience is not None:
        reason = "which judges trials by how they stand at its rungs, not by their best epoch."
        yield path, patience, f"{reason} Use scheduler: {{kind: none}}, or patience 0."


def _possible(recipe: Recipe, space: Space, path: str) -> list[ParamValue]:
    """What trials may have at `path`, by the ends of its domain or under every kind; nothing if the kind is wrong."""
    if path in space and space[path].when is None:
        return list(space[path].ends())
    searched = space[path].ends() if path in space else ()
    try:
        trees = [flatten(variant.as_tree()) for variant in kind_variants(recipe, space, path)]
    except (SpaceError, ValidationError):
        return []  # reported at the path of the kind
    return [*searched, *(tree[path] for tree in trees if path in tree)]


def _path_problem(recipe: Recipe, space: Space, path: str, domain: Domain) -> str | None:
    if message := _why_fixed(path):
        return message
    try:
        variants = kind_variants(recipe, space, path)
    except (SpaceError, ValidationError):
        return None  # the searched kind itself is wrong, and is reported at its own path
    missing = [variant for variant in variants if path not in flatten(variant.as_tree())]
    if missing and (message := _unknown_under(path, missing, variants)):
        return message
    if message := _rivalry(recipe, space, path):
        return message
    values = ((variant, value) for variant in variants for value in domain.ends())
    return next((message for variant, value in values if (message := _misfit(variant, path, value))), None)


def _why_fixed(path: str) -> str | None:
    """Why a path of the recipe must not be searched; none if it may be."""
    if path == "epochs":
        return "must not be searched, for epochs are what the scheduler spends. Drop it, and set epochs in the recipe."
    if path in FILES:
        return f"must not be searched, for it is a folder. Drop it, and set {path} in the recipe."
    if path.startswith("diagnostics."):
        return f"must not be searched, for no trial learns by it. Drop it, and set {path} in the recipe."
    return None


def _unknown_under(path: str, missing: Sequence[Recipe], variants: Sequence[Recipe]) -> str | None:
    """Why kinds that the path will meet do not have it; none if no kind ever has it."""
    section, _, name = path.partition(".")
    members = kinds_of(section) if section in Recipe.model_fields else {}
    if not members or name == "kind":
        return None
    owners = [kind for kind, config in members.items() if name in config.model_fields]
    without = [getattr(variant, section).kind for variant in missing]
    kinds = listed(without)
    if owners and len(missing) == len(variants):
        return f"must be a setting of {section}.kind {kinds}, but only {_have(owners)} it. Drop it, or change the kind."
    if owners:
        having = [getattr(variant, section).kind for variant in variants if variant not in missing]
        when = f"== {having[0]}" if len(having) == 1 else f"in [{', '.join(having)}]"
        return (
            f"must exist under every {section}.kind that it meets, but {_have(without)} no such setting. Give the "
            f"domain a condition, when: {section}.kind {when}, or drop {kinds} from {section}.kind."
        )
    return None


def _rivalry(recipe: Recipe, space: Space, path: str) -> str | None:
    """Why `path` may not be searched with what the recipe has of another, if it may not."""
    values = flatten(recipe.as_tree())
    rivals = [other for pair in RIVALS if path in pair for other in pair if other != path and other not in space]
    rival = next((other for other in rivals if values[other] not in (0, "none")), None)
    if rival is None:
        return None
    return (
        f"must not be searched while {rival} is {shown(values[rival])}, for a trial may have only one of them. "
        "Drop one of the two."
    )


def _have(kinds: Sequence[str]) -> str:
    """`adam has`, `adam and adamw have`."""
    return f"{listed(kinds)} {'has' if len(kinds) == 1 else 'have'}"


def _misfit(recipe: Recipe, path: str, value: ParamValue) -> str | None:
    """Why a recipe cannot have `value` at `path`, if it cannot."""
    try:
        with_params(recipe, {path: value})
    except ValidationError as error:
        first = error.errors()[0]
        if first["type"] == "missing":
            needed = first["loc"][-1]
            return f"every kind must do without more settings, but {shown(value)} needs {needed}. Drop it here."
        if first["type"] == "value_error":
            return f"every value must fit the rest of the recipe, but with {shown(value)}: {first['ctx']['error']}"
        remedy = "Use randint or choice." if first["type"] == "int_type" else "Change the domain."
        return f"every value must {requirement(first)}, but the domain holds {shown(value)}. {remedy}"
    except SpaceError as error:
        return str(error).removeprefix(f"{path}: ")
    return None


def _point_problems(space: Space, points: Sequence[Mapping[str, ParamValue]]) -> Iterator[Problem]:
    for number, point in enumerate(points):
        for path, value in point.items():
            key = f"points.{number}.{path}"
            if path not in space:
                searched = ", ".join(space)
                message = f"a point may set only what is searched, but {path} is not. Searched are: {searched}."
                yield Problem(key=key, message=message)
            elif not space[path].contains(value):
                domain = space[path].model_dump(mode="json")
                within = ", ".join(f"{name}: {shown(bound)}" for name, bound in domain.items())
                message = f"must lie in the domain {{{within}}}, but got {shown(value)}. Change one of the two."
                yield Problem(key=key, message=message)
