"""Rules for values that no trial may have together, however conditions and constraints are written."""

from collections.abc import Iterator

from hpo.errors import Problem
from hpo.export.weights import Weights
from hpo.spaces.coordinates import COORDINATES
from hpo.spaces.possible import Presence
from hpo.sweep.cases import Cases
from hpo.sweep.resources import Resources
from hpo.sweep.rules import AVERAGES, RIVALS
from hpo.sweep.wording import listed

LEAST_NORMED = 8
"""Examples of a batch that batch norm can take statistics of."""


def rival_problems(cases: Cases) -> Iterator[Problem]:
    """No trial may have both of two rivals; of two that are searched, the second is refused."""
    for first, second in RIVALS:
        if {first, second} <= cases.space.keys() and any(
            not {0, "none"} & set(case.values()) for case in cases.of(first, second)
        ):
            message = (
                f"must not be searched beside {first}, for a trial may have only one of them. Drop one of the two, or "
                "give each a condition."
            )
            yield Problem(key=f"space.{second}", message=message)


def fge_problems(cases: Cases, ensemble: str | None) -> Iterator[Problem]:
    """An ensemble of the ends of short cycles needs trials that have some, and leave what they are there."""
    if ensemble != "fge":
        return
    for path, needed in (("schedule.kind", "fge"), ("snapshots", "all")):
        others = dict.fromkeys(case[path] for case in cases.of(path) if case.get(path) != needed)
        if others:
            message = f"must be {needed} for ensemble.kind: fge, but may be {listed([str(each) for each in others])}."
            yield Problem(key=_key(path, cases), message=f"{message} Set it, or ask for another kind.")


def spelling_problems(cases: Cases) -> Iterator[Problem]:
    """No trial may have an effective coordinate beside the raw value that it sets."""
    for path, coordinate in COORDINATES.items():
        both = {path: Presence.PRESENT, coordinate.raw: Presence.PRESENT}
        if both.keys() <= cases.space.keys() and cases.may_be(both):
            message = (
                f"must not be searched beside {coordinate.raw}, which it sets. Drop one of the two, or give each a "
                "condition."
            )
            yield Problem(key=f"space.{path}", message=message)


def batch_norm_problems(cases: Cases) -> list[Problem]:
    """Batch norm must have a batch to take statistics of."""
    normed = (case["batch_size"] for case in cases.of("batch_size", "model.norm") if case.get("model.norm") == "batch")
    smallest = min((size for size in normed if isinstance(size, int)), default=LEAST_NORMED)
    if smallest >= LEAST_NORMED:
        return []
    message = (
        f"must be at least {LEAST_NORMED} with model.norm: batch, which takes statistics of every batch, but got "
        f"{smallest}. Raise it, or use another norm, such as layer."
    )
    return [Problem(key=_key("batch_size", cases), message=message)]


def worker_problems(cases: Cases, resources: Resources) -> list[Problem]:
    """Each of the workers must have an example of every whole batch; and norms by parts of batches have other parts."""
    if resources.workers == 1:
        return []
    problems = []
    sizes = (case["batch_size"] for case in cases.of("batch_size"))
    smallest = min((size for size in sizes if isinstance(size, int)), default=resources.workers)
    if smallest < resources.workers:
        message = (
            f"must be at least resources.workers, which is {resources.workers}, for each takes a part of every batch, "
            f"but got {smallest}. Raise it, or ask for fewer workers."
        )
        problems.append(Problem(key=_key("batch_size", cases), message=message))
    if any(case.get("model.ghost_batch", 0) != 0 for case in cases.of("model.ghost_batch")):
        message = (
            f"must be 0 where workers share a batch, whose parts are then others, but resources.workers is "
            f"{resources.workers}. Set it to 0, or ask for one worker."
        )
        problems.append(Problem(key=_key("model.ghost_batch", cases), message=message))
    return problems


def average_problems(cases: Cases, weights: Weights) -> list[Problem]:
    """Where averaged weights are exported, every trial must keep an average: any of them may be the best."""
    searched = next((path for path in AVERAGES if path in cases.space and any(cases.space[path].ends())), None)
    if weights == "raw" or searched is None or all(any(case.values()) for case in cases.of(*AVERAGES)):
        return []
    message = (
        f"must be raw where some trials keep no average of weights, but got {weights}, and {searched} may be 0. "
        "Set it to raw, or take the 0 out of the space."
    )
    return [Problem(key="export.weights", message=message)]


def _key(path: str, cases: Cases) -> str:
    return f"space.{path}" if path in cases.space else path
