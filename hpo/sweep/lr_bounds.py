"""The learning-rate range test of a sweep, and the bounds of the rate that come out of it."""

from hpo.errors import Problem, SweepError
from hpo.spaces import LogUniform
from hpo.sweep.dependence import dependence_problems, unmet_problems
from hpo.sweep.model import Sweep
from hpo.training.data import Splits
from hpo.training.lr_range import LrCurve, LrRange, LrSuggestion, run_range_test


def find_lr_curve(sweep: Sweep, splits: Splits) -> LrCurve:
    """Test the sweep's base recipe, as `lr_range` says or else by default."""
    num_threads = max(1, int(sweep.resources.cpus))
    return run_range_test(sweep.recipe, splits, sweep.lr_range or LrRange(), seed=sweep.seed, num_threads=num_threads)


def with_lr_bounds(sweep: Sweep, suggestion: LrSuggestion) -> Sweep:
    """The sweep with the proposed bounds of `optimizer.lr`, or as much wider ones as its points need.

    It asks for no test any more: run again, it searches the same.

    Raises:
        SweepError: if within these bounds constraints leave nothing, or a condition or constraint makes no difference.
    """
    tried = [rate for point in sweep.points if isinstance(rate := point.get("optimizer.lr"), int | float)]
    low, high = suggestion.bounds()
    searched = sweep.space["optimizer.lr"]
    assert isinstance(searched, LogUniform)  # the sweep's rules have seen to it
    low, high = min(low, *tried, high), max(high, *tried, low)
    prior = searched.prior if isinstance(searched.prior, int | float) and low <= searched.prior <= high else None
    confidence = searched.prior_confidence if prior is not None else None
    domain = LogUniform(min=low, max=high, when=searched.when, prior=prior, prior_confidence=confidence)
    bounded = sweep.model_copy(update={"space": {**sweep.space, "optimizer.lr": domain}, "lr_range": None})
    rules = (bounded.space, bounded.constraints, bounded.settings)
    problems = dependence_problems(*rules) or unmet_problems(*rules, bounded.points)
    if problems:
        proposed = f"So it is with optimizer.lr from {low:g} to {high:g}, as lr_range proposes."
        found = [Problem(key=problem.key, message=f"{problem.message} {proposed}") for problem in problems]
        raise SweepError(f"sweep {sweep.name}", found)
    return bounded
