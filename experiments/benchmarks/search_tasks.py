"""What the search benchmark searches: tasks, with the figures by which regret is normalised."""

import json
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, TypeAdapter, model_validator

from hpo.config import Config
from hpo.curves import CurveSource, Lcbench
from hpo.spaces import Space, parse_space

LCBENCH_SPACE = {
    "batch_size": "loguniform(16, 512)",
    "learning_rate": "loguniform(1e-4, 1e-1)",
    "momentum": "uniform(0.1, 0.99)",
    "weight_decay": "uniform(1e-5, 1e-1)",
    "num_layers": "randint(1, 5)",
    "max_units": "loguniform(64, 1024)",
    "max_dropout": "uniform(0, 1)",
}
"""Of the benchmark; batch_size and max_units are rounded where a curve is looked up."""


class SearchTask(Config):
    """Curves, the space that is searched, and how good a search can be; the metric is val_accuracy."""

    name: str
    curves: CurveSource
    space: Space
    epochs: Annotated[int, Field(ge=1)]
    """Full length of a trial."""
    best: float
    """The best value that a long search has found: regret 0."""
    median: float
    """Of random params after all epochs: regret 1."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.median < self.best:
            raise ValueError(f"{self.name}: `median < best` must hold, but got {self.median} and {self.best}. Mend it.")
        return self

    def regret(self, value: float) -> float:
        """How far `value` is from the best there is, in units of a typical random draw's distance."""
        return (self.best - value) / (self.best - self.median)


def read_tasks(path: Path) -> list[SearchTask]:
    """A JSON list of tasks."""
    return TypeAdapter(list[SearchTask]).validate_json(path.read_text(encoding="utf-8"))


def lcbench_tasks(surrogate: Path, reference: Path) -> list[SearchTask]:
    """The tasks of a surrogate; `reference` is JSON by OpenML's id: name, best and median, in percent."""
    known = json.loads(reference.read_text(encoding="utf-8"))
    return [
        SearchTask(
            name=figures["name"],
            curves=Lcbench(path=surrogate, task=int(task_id)),
            space=parse_space(LCBENCH_SPACE),
            epochs=52,
            best=figures["best"] / 100,
            median=figures["median"] / 100,
        )
        for task_id, figures in known.items()
    ]
