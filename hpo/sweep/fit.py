"""Whether a sweep fits the data that were loaded for it."""

from collections.abc import Iterator

from hpo.errors import Problem, SweepError
from hpo.sweep.model import Sweep
from hpo.sweep.rules import kind_variants
from hpo.training.data import Splits
from hpo.training.recipe import Recipe, with_params


def check_data(sweep: Sweep, splits: Splits) -> None:
    """Build the base model and one for every choice in the space, and hold batch sizes against the training split.

    Raises:
        SweepError: if a model cannot take the inputs, or a batch is larger than the training split.
    """
    problems = [*_model_problems(sweep, splits), *_batch_problems(sweep, len(splits.train))]
    if problems:
        raise SweepError(f"sweep {sweep.name}", problems)


def _model_problems(sweep: Sweep, splits: Splits) -> Iterator[Problem]:
    for key, recipe in _models(sweep):
        try:
            recipe.model.build(splits.input_shape, splits.num_classes)
        except ValueError as error:
            yield Problem(key=key, message=str(error))


def _models(sweep: Sweep) -> Iterator[tuple[str, Recipe]]:
    """The base recipe, and those that differ from it in one searched setting of the model, under each searched kind."""
    if "model.kind" not in sweep.space:
        yield "model", sweep.recipe
    for path, domain in sweep.space.items():
        if path.startswith("model."):
            for variant in kind_variants(sweep.recipe, sweep.space, path):
                for value in domain.ends():
                    yield f"space.{path}", with_params(variant, {path: value})


def _batch_problems(sweep: Sweep, num_train: int) -> Iterator[Problem]:
    searched = sweep.space.get("batch_size")
    key, sizes = ("space.batch_size", searched.ends()) if searched else ("batch_size", (sweep.batch_size,))
    for size in sizes:
        if isinstance(size, int) and size > num_train:
            message = f"must be at most the {num_train} training examples, but got {size}. Lower it."
            yield Problem(key=key, message=message)
