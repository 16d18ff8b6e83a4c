"""What is measured of a recipe before anything is spent on it, and what that should be."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch.nn import functional

from hpo.training.augmentations import Augment
from hpo.training.data import Splits
from hpo.training.diagnostics.diagnose import activations, examples, gradients, loss_ratio, network, settled
from hpo.training.diagnostics.gradient_check import Slope, slopes
from hpo.training.diagnostics.one_batch import LEARNED, MOST_STEPS, Fit, fit_one_batch
from hpo.training.examples import TrainingData, as_tensors
from hpo.training.losses import CrossEntropy
from hpo.training.program import initial_state
from hpo.training.recipe import Recipe
from hpo.training.seeds import make_generator
from hpo.training.state import TrialState

Verdict = Literal["passed", "doubtful", "failed"]

MOST_ERROR = 1e-4
MOST_SATURATED, MOST_DEAD, MOST_CONSTANT = 0.2, 0.4, 0.95
STD_RATIOS, LOSS_RATIOS = (0.1, 10.0), (0.8, 1.3)
NUM_CHECKED = 16
"""Examples for the loss whose gradient is checked."""
MOST_FITTED = 128
"""Examples of the one batch, where batches are larger."""
FACTORS = 1.0, 0.1, 10.0
"""On the recipe's learning rate, tried in turn until the batch is learned."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that was measured."""

    name: str
    measured: str
    value: float | None
    """As a number; none where it is not finite."""
    expected: str
    verdict: Verdict
    remedy: str = ""
    """What to do; empty where nothing is to be done."""


def preflight(recipe: Recipe, splits: Splits, *, seed: int, num_threads: int = 1) -> list[Check]:
    """Check a recipe on a processor, in seconds; torch's global generator is left as it was."""
    data = as_tensors(splits.train, splits.validation, splits.num_classes, torch.device("cpu"))
    threads_before = torch.get_num_threads()
    torch.set_num_threads(num_threads)
    try:
        with torch.random.fork_rng(devices=[]):
            state = initial_state(recipe, data, seed, 0)
            return [
                _gradient_check(recipe, data, state, seed),
                *_health_checks(recipe, data, state, seed),
                *_fit_checks(recipe, data, state, seed),
            ]
    finally:
        torch.set_num_threads(threads_before)


def _gradient_check(recipe: Recipe, data: TrainingData, state: TrialState, seed: int) -> Check:
    module = settled(recipe, data, state, seed).double()
    indices = examples(data, seed, NUM_CHECKED)
    x, y = data.train_x[indices].double(), data.train_y[indices]
    learning = [(name, own) for name, own in module.named_parameters() if own.requires_grad]
    generator = make_generator(seed, "diagnostics", "directions")
    try:
        found = slopes(lambda: functional.cross_entropy(module(x), y), learning, generator)
    except RuntimeError as error:
        return Check(
            name="gradient check",
            measured=str(error).splitlines()[0],
            value=None,
            expected=f"relative error < {MOST_ERROR:g}",
            verdict="failed",
            remedy="The network must also run in float64. Let the tensors that it makes take the type of its inputs.",
        )
    worst = max(found, key=_badness)
    is_sound = worst.error < MOST_ERROR
    return Check(
        name="gradient check",
        measured=f"{worst.error:.1e} in {worst.name}",
        value=_number(worst.error),
        expected=f"relative error < {MOST_ERROR:g}",
        verdict="passed" if is_sound else "failed",
        remedy=""
        if is_sound
        else f"{worst.name} learns by another slope than the loss has ({worst.by_gradient:.3g}, not "
        f"{worst.by_difference:.3g}). Look there for detach, .data, no_grad or a backward pass of your own.",
    )


def _badness(slope: Slope) -> float:
    """The error, of which NaN is the worst."""
    return math.inf if math.isnan(slope.error) else slope.error


def _health_checks(recipe: Recipe, data: TrainingData, state: TrialState, seed: int) -> list[Check]:
    """Of activations, gradients and the loss, where the network has such."""
    plain = recipe.model_copy(update={"loss": CrossEntropy(), "augmentation": Augment()})
    module = settled(recipe, data, state, seed)
    found = activations(recipe, data, module, seed) | gradients(plain, data, state, seed)
    found["start_loss_ratio"] = loss_ratio(recipe, data, module, seed)
    scale = "Change the scale of the weights by the initializer, add a norm, or normalise the data."
    limits: list[tuple[str, str, tuple[float, float], Verdict, str]] = [
        ("saturated units", "saturated_largest", (0, MOST_SATURATED), "failed", scale),
        ("dead units", "dead_largest", (0, MOST_DEAD), "failed", f"{scale} Or use leaky_relu."),
        ("constant units", "constancy_largest", (0, MOST_CONSTANT), "doubtful", "Add a norm, or use fewer layers."),
        ("spread, last to first", "activation_std_ratio", STD_RATIOS, "doubtful", scale),
        ("zeros in gradients", "gradient_zeros_largest", (0, 0.99), "doubtful", "See which layer no gradient reaches."),
        ("gradients not finite", "gradients_not_finite", (0, 0), "failed", scale),
        ("loss at the start", "start_loss_ratio", LOSS_RATIOS, "doubtful", "Make the last layer's weights smaller."),
    ]
    return [
        _within(name, found[metric], bounds, otherwise, remedy)
        for name, metric, bounds, otherwise, remedy in limits
        if metric in found
    ]


def _within(name: str, value: float, bounds: tuple[float, float], otherwise: Verdict, remedy: str) -> Check:
    low, high = bounds
    is_sound = low <= value <= high
    return Check(
        name=name,
        measured=f"{value:.3g}",
        value=_number(value),
        expected=f"{low:g} to {high:g}" if low > 0 else f"at most {high:g}" if high > 0 else "0",
        verdict="passed" if is_sound else otherwise,
        remedy="" if is_sound else remedy,
    )


def _fit_checks(recipe: Recipe, data: TrainingData, state: TrialState, seed: int) -> list[Check]:
    fit = _best_fit(recipe, data, state, seed)
    learned = Check(
        name="one batch by heart",
        measured=f"loss {fit.loss:.2g}, accuracy {fit.accuracy:.3g} after {fit.num_steps} steps at a rate of "
        f"{fit.rate:g}",
        value=_number(fit.loss),
        expected=f"loss < {LEARNED}, accuracy 1 within {MOST_STEPS} steps",
        verdict="passed" if fit.is_learned else "failed",
        remedy=""
        if fit.is_learned
        else "A network that cannot learn one batch learns nothing. Look at the labels, the network's gradients and "
        "its last layer; then at optimizer.lr, for which hpo lr-range proposes bounds.",
    )
    speed = Check(
        name="training speed",
        measured=f"{fit.examples_per_second:,.0f} examples/s",
        value=_number(fit.examples_per_second),
        expected="",
        verdict="passed",
    )
    return [learned, speed]


def _best_fit(recipe: Recipe, data: TrainingData, state: TrialState, seed: int) -> Fit:
    """The first rate at which the batch is learned, or else of the least loss."""
    indices = examples(data, seed, min(recipe.batch_size, MOST_FITTED))
    x, y = data.train_x[indices], data.train_y[indices]
    fits: list[Fit] = []
    for factor in FACTORS:
        fits.append(fit_one_batch(recipe, network(recipe, data, state), x, y, recipe.optimizer.lr * factor))
        if fits[-1].is_learned:
            return fits[-1]
    return min(fits, key=lambda fit: fit.loss if math.isfinite(fit.loss) else math.inf)


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
