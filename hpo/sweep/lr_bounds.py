"""The learning-rate range test of a sweep, and the bounds of the rate that come out of it."""

from hpo.spaces import LogUniform
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
    """
    tried = [rate for point in sweep.points if isinstance(rate := point.get("optimizer.lr"), int | float)]
    low, high = suggestion.bounds()
    searched = sweep.space["optimizer.lr"]
    assert isinstance(searched, LogUniform)  # the sweep's rules have seen to it
    low, high = min(low, *tried, high), max(high, *tried, low)
    prior = searched.prior if isinstance(searched.prior, int | float) and low <= searched.prior <= high else None
    confidence = searched.prior_confidence if prior is not None else None
    domain = LogUniform(min=low, max=high, when=searched.when, prior=prior, prior_confidence=confidence)
    return sweep.model_copy(update={"space": {**sweep.space, "optimizer.lr": domain}, "lr_range": None})
