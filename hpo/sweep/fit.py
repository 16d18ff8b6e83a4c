"""Whether a sweep fits the data that were loaded for it."""

from collections.abc import Callable, Iterator

from hpo.errors import BundleError, DataError, Problem, SweepError
from hpo.export.onnx import refuse_without_libraries
from hpo.records import Params, ParamValue
from hpo.spaces.coordinates import PREFIX
from hpo.spaces.space import Space
from hpo.sweep.cases import Cases
from hpo.sweep.model import Sweep
from hpo.sweep.scheduling import ladder_problems
from hpo.sweep.settling import with_first_rung
from hpo.training.data import Splits
from hpo.training.depth import batch_norms, freeze
from hpo.training.examples import TrainingData, as_tensors
from hpo.training.optimizers import Lbfgs, Muon
from hpo.training.program import initial_module, refuse_misfits
from hpo.training.recipe import Recipe, flatten, raw_params, with_params
from hpo.training.seeds import make_generator
from hpo.training.teacher import refuse_teacher

NETWORK = ("model.", "initializer.", "frozen_layers", "frozen_norms", "optimizer.kind", "lr_factor.")
"""Paths on which it depends whether there is a network to be trained."""
TRAINING = ("augmentation.", "optimizer.kind", "batch_size", "batch_growth.every", "grad_clip", "regularizer.")
"""Paths on which it depends whether it can be trained on the data."""
BATCHES = ("batch_size", "batch_growth.")
"""Paths on which it depends how large batches become."""

PICKY = (Muon, Lbfgs)
"""Optimizers that not every network will do for; the others are not made, for torch's first one takes a second."""

Refuse = Callable[[Recipe], Problem | None]


def check_data(sweep: Sweep, splits: Splits) -> None:
    """Make the network and the optimizer of the base and of every choice in the space, and hold both against the data.

    Raises:
        SweepError: if a recipe does not go with the data, a batch is larger than the training split, what is done at
            export does not suit the data, or the rungs that follow from them ask for more trials, or fewer brackets.
    """
    cpu = make_generator().device
    data = as_tensors(splits.train, splits.validation, splits.num_classes, cpu)
    num_train = len(splits.train)
    problems = [
        *_problems(sweep, num_train, NETWORK, lambda recipe: _refuse_network(recipe, data, _most_frozen(sweep))),
        *_problems(sweep, num_train, TRAINING, lambda recipe: _refuse_training(recipe, data)),
        *_problems(sweep, num_train, BATCHES, lambda recipe: _refuse_batches(recipe, num_train)),
        *_export_problems(sweep, splits),
        *_decay_problems(sweep, len(splits.train)),
        *_teacher_problems(sweep, splits),
        *ladder_problems(with_first_rung(sweep, len(splits.train)).chosen.scheduler, sweep.budget.trials, sweep.epochs),
    ]
    if problems:
        raise SweepError(f"sweep {sweep.name}", problems)


def _problems(sweep: Sweep, num_train: int, paths: tuple[str, ...], refuse: Refuse) -> Iterator[Problem]:
    """What is refused at two opposite corners of the space, and where one searched path of these is changed."""
    corners = [_corner(sweep.space, sweep.cases, step) for step in (1, -1)]
    found = [problem for corner in corners for problem in _problems_around(corner, sweep, num_train, paths, refuse)]
    yield from {problem.key: problem for problem in reversed(found)}.values()


def _problems_around(
    corner: Params, sweep: Sweep, num_train: int, paths: tuple[str, ...], refuse: Refuse
) -> Iterator[Problem]:
    """A path is to blame if some of its values are refused and others are not; where none is, the recipe itself is."""
    is_blamed = False
    cases = sweep.cases
    for path, domain in sweep.space.items():
        for kind in _kinds(sweep.space, path) if path.startswith(paths) else ():
            changes: list[Params] = [{**kind, path: value} for value in domain.ends()]
            met = [{**corner, **change} for change in changes if cases.may_be(change)]
            trials = [_trial(sweep, values, num_train) for values in met]
            found = [refuse(with_params(sweep.recipe, trial)) for trial in trials if path in trial]
            refused = [problem for problem in found if problem]
            if refused and len(refused) < len(found):
                is_blamed = True
                yield Problem(key=f"space.{path}", message=refused[0].message)
    base = refuse(with_params(sweep.recipe, _trial(sweep, corner, num_train)))
    if base and not is_blamed:
        yield Problem(key=f"space.{base.key}" if base.key in sweep.space else base.key, message=base.message)


def _corner(space: Space, cases: Cases, step: int) -> Params:
    """Of every domain the first value, or with a step of -1 the last one, that constraints allow beside the others."""
    corner: dict[str, ParamValue] = {}
    for path, domain in space.items():
        always = {other: value for other, value in corner.items() if space[other].when is None}
        ends = domain.ends()[::step]
        corner[path] = next((end for end in ends if cases.may_be({**always, path: end})), ends[0])
    return corner


def _trial(sweep: Sweep, params: Params, num_train: int) -> Params:
    """Of values for all params, those that a trial has, and what these come to."""
    present = sweep.conditions.present(params)
    return {**present, **raw_params(sweep.recipe, present, num_train)}


def _kinds(space: Space, path: str) -> list[Params]:
    """Every kind that `path` will meet; as it is at the corner, where the kind of its section is not searched."""
    kind_path = f"{path.partition('.')[0]}.kind"
    is_free = kind_path in space and path != kind_path
    return [{kind_path: kind} for kind in space[kind_path].ends()] if is_free else [{}]


def _most_frozen(sweep: Sweep) -> int:
    numbers = sweep.space["frozen_layers"].ends() if "frozen_layers" in sweep.space else (sweep.frozen_layers,)
    return max(with_params(sweep.recipe, {"frozen_layers": number}).frozen_layers for number in numbers)


def _refuse_network(recipe: Recipe, data: TrainingData, most_frozen: int) -> Problem | None:
    key = "model"
    try:
        recipe.model.build(data.input_shape, data.num_classes)
        key = "initializer"
        module = initial_module(recipe, data, seed=0, trial_id=0)
        freeze(module, recipe.frozen_layers)
        if recipe.frozen_norms and not batch_norms(module, most_frozen):
            return Problem(key="frozen_norms", message="has no effect: no frozen layer has a batch norm. Delete it.")
        key = "optimizer"
        if isinstance(recipe.optimizer, PICKY):
            recipe.optimizer.make(module, recipe.lr_factor)
    except BundleError as error:
        return Problem(key="initializer.bundle", message=str(error))
    except (ValueError, RuntimeError) as error:  # torch raises the latter where shapes do not fit
        return _problem(recipe, key, str(error))
    return None


def _refuse_training(recipe: Recipe, data: TrainingData) -> Problem | None:
    try:
        refuse_misfits(recipe, data)
    except ValueError as error:
        return _problem(recipe, "augmentation", str(error))
    return None


def _refuse_batches(recipe: Recipe, num_train: int) -> Problem | None:
    """Batches must not outgrow the training data, and those that shall grow must."""
    growth, last = recipe.batch_growth, recipe.batch_size_at(recipe.epochs)
    if recipe.batch_size > num_train:
        message = f"must be at most the {num_train} training examples, but got {recipe.batch_size}. Lower it."
        return Problem(key="batch_size", message=message)
    if last > num_train and not isinstance(recipe.optimizer, Lbfgs):  # which `refuse_misfits` has said
        message = (
            f"batches must stay within the {num_train} training examples, but grow to {last}. Raise it, or set "
            f"batch_growth.most to at most {num_train}."
        )
        return Problem(key="batch_growth.every", message=message)
    if growth.every > 0 and last == recipe.batch_size:
        message = (
            f"must let batches grow, but they stay at {last} examples, for `every` is {growth.every} of "
            f"{recipe.epochs} epochs, and `most` is {growth.most}. Change one of these, or delete batch_growth."
        )
        return Problem(key="batch_growth", message=message)
    return None


def _problem(recipe: Recipe, key: str, text: str) -> Problem:
    """At the path with which the message begins, where it begins with one."""
    path, _, message = text.partition(": ")
    is_path = path in recipe.as_tree() or path in flatten(recipe.as_tree())
    return Problem(key=path, message=message) if is_path else Problem(key=key, message=text)


def _teacher_problems(sweep: Sweep, splits: Splits) -> Iterator[Problem]:
    try:
        refuse_teacher(sweep.loss, splits)
    except (BundleError, DataError) as error:
        yield Problem(key="loss.teacher", message=str(error))


def _export_problems(sweep: Sweep, splits: Splits) -> Iterator[Problem]:
    try:
        sweep.export.check(splits.input_shape)
    except ValueError as error:
        yield Problem(key="export.tta", message=str(error))
    if "onnx" in sweep.export.formats:
        try:
            refuse_without_libraries()
        except BundleError as error:
            yield Problem(key="export.formats", message=str(error))


def _decay_problems(sweep: Sweep, num_train: int) -> Iterator[Problem]:
    """A shorter time than a step would take more than the whole weight away."""
    path = f"{PREFIX}decay_epochs"
    if path not in sweep.space:
        return
    met = [(case[path], case["batch_size"]) for case in sweep.cases.of(path, "batch_size", having=(path,))]
    pairs = [(least, size) for least, size in met if isinstance(least, int | float) and isinstance(size, int)]
    least, largest = min(pairs, key=lambda pair: pair[0] / pair[1])
    if least * num_train < largest:
        message = (
            f"must last at least one step of {largest:g} examples, which is {largest / num_train:.3g} epochs, "
            f"but got {least:g}. Raise it."
        )
        yield Problem(key=f"space.{path}", message=message)
