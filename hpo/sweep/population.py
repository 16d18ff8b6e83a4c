"""Rules for population based training: what a population cannot train by is refused."""

from collections.abc import Iterator

from pydantic import ValidationError

from hpo.errors import Problem, SpaceError
from hpo.records import ParamValue
from hpo.scheduling import Budget, Pbt, Scheduler
from hpo.search.exploring import moved
from hpo.search.samplers import Grid, Qmc, Random, Sampler
from hpo.spaces import Domain, Space
from hpo.spaces.coordinates import PREFIX
from hpo.sweep.rules import kind_variants
from hpo.sweep.wording import listed
from hpo.training.recipe import Recipe, state_signature, with_params


def population_problems(scheduler: Scheduler, sampler: Sampler, budget: Budget, epochs: int) -> list[Problem]:
    """There must be a turn, a sampler that is not misled by children, and nothing else that sets their number."""
    return list(_population_problems(scheduler, sampler, budget, epochs)) if isinstance(scheduler, Pbt) else []


def change_problems(recipe: Recipe, space: Space, scheduler: Scheduler) -> list[Problem]:
    """Something that is searched must be able to change between a parent and its child."""
    if not isinstance(scheduler, Pbt) or not space:
        return []
    if any(_may_change(recipe, space, path, scheduler) for path in space):
        return []
    message = (
        "must hold a param that a child can have otherwise than its parent with scheduler.kind pbt, but "
        f"{listed(list(space))} {'makes' if len(space) == 1 else 'make'} the state from which it goes on. Search a "
        "number such as optimizer.lr too, or use another scheduler."
    )
    return [Problem(key="space", message=message)]


def _population_problems(scheduler: Pbt, sampler: Sampler, budget: Budget, epochs: int) -> Iterator[Problem]:
    if len(scheduler.rungs(epochs)) == 1:
        message = (
            f"must be below epochs, which is {epochs}, but got {scheduler.every}: there would be no turn. "
            "Lower it, or raise epochs."
        )
        yield Problem(key="scheduler.every", message=message)
    if not isinstance(sampler, Random | Qmc | Grid):
        message = (
            "pbt needs a sampler that never learns, for what a child measures is owed to its ancestors' params too, "
            f"but got sampler.kind {sampler.kind}. Use sampler: {{kind: random}}, qmc or grid, or another scheduler."
        )
        yield Problem(key="scheduler.kind", message=message)
    if "trials" in budget.model_fields_set and budget.trials != scheduler.population:
        message = (
            f"must be the population with scheduler.kind pbt, which is {scheduler.population}, for its "
            f"children are not counted, but got {budget.trials}. Delete it, or change scheduler.population."
        )
        yield Problem(key="budget.trials", message=message)


def _may_change(recipe: Recipe, space: Space, path: str, scheduler: Pbt) -> bool:
    """Whether some of its values can follow on another; effective coordinates set numbers, which can."""
    if path.startswith(PREFIX):
        return True
    try:
        return any(
            state_signature(with_params(variant, {path: old})) == state_signature(with_params(variant, {path: new}))
            for variant in kind_variants(recipe, space, path)
            for old in space[path].ends()
            for new in _successors(space[path], old, scheduler)
            if new != old
        )
    except (SpaceError, ValidationError):
        return True  # the path or the searched kind is wrong, and is reported there


def _successors(domain: Domain, value: ParamValue, scheduler: Pbt) -> Iterator[ParamValue]:
    """What a child may have whose parent has `value`; of what is drawn anew, the ends."""
    yield moved(domain, value, scheduler.factor)
    yield moved(domain, value, 1 / scheduler.factor)
    if scheduler.resample > 0:
        yield from domain.ends()
