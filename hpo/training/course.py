"""What the validation losses of a trial decide about the rest of its training."""

from collections.abc import Mapping

from hpo.training.recipe import Recipe
from hpo.training.schedules import Plateau
from hpo.training.state import Course


def follow(recipe: Recipe, course: Course, metrics: Mapping[str, float]) -> Course:
    """The course of a trial after an epoch with these metrics."""
    if not isinstance(recipe.schedule, Plateau):
        return course
    return Course(plateau=recipe.schedule.after(course.plateau, metrics["val_loss"]))
