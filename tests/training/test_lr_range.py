import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from hpo.errors import LrRangeError
from hpo.training.batch_growth import BatchGrowth
from hpo.training.data import Digits, Splits
from hpo.training.examples import as_tensors
from hpo.training.lr_range import LrCurve, LrRange, num_sound, run_range_test, smooth
from hpo.training.luck import Luck
from hpo.training.models import Mlp
from hpo.training.optimizers import Sgd
from hpo.training.program import initial_module, initial_state
from hpo.training.recipe import Recipe, with_params
from hpo.training.schedules import Constant
from hpo.training.solo import Solo

RECIPE = Recipe(model=Mlp(hidden=(32,)), optimizer=Sgd(lr=7.0, momentum=0.9))
DECADES = np.linspace(-6, 1, 701)


@pytest.fixture(scope="module")
def digits() -> Splits:
    return Digits().load(seed=0)


@pytest.fixture(scope="module")
def curve(digits: Splits) -> LrCurve:
    return run_range_test(RECIPE, digits, LrRange(), seed=0)


def made_up(losses: np.ndarray) -> LrCurve:
    sound = tuple(losses.tolist())
    return LrCurve(rates=tuple((10**DECADES).tolist()), losses=sound, smoothed=sound)


def test_the_fall_is_steepest_and_the_loss_least_where_it_was_made_so() -> None:
    """A logistic fall around 0.01, and from 0.1 on a rise."""
    losses = 2.3 - 2 / (1 + np.exp(-4 * (DECADES + 2))) + 1.5 * np.maximum(0, DECADES + 1)

    suggestion = made_up(losses).suggest()

    assert suggestion.steepest == pytest.approx(0.01, rel=0.03)
    assert suggestion.largest_stable == pytest.approx(0.1, rel=0.03)
    assert suggestion.tenth_of_largest == pytest.approx(0.01, rel=0.03)
    assert suggestion.bounds() == pytest.approx((0.001, 0.1), rel=0.03)


def test_noise_from_step_to_step_is_not_taken_for_the_steepest_fall() -> None:
    losses = 2.3 - 2 / (1 + np.exp(-4 * (DECADES + 2))) + 0.05 * (-1) ** np.arange(701)

    assert made_up(losses).suggest().steepest == pytest.approx(0.01, rel=0.2)


def test_a_loss_that_falls_nowhere_says_nothing() -> None:
    with pytest.raises(LrRangeError) as caught:
        made_up(2.3 + np.maximum(0, DECADES)).suggest()

    assert str(caught.value) == (
        "the loss must fall by 5% at some rate of the learning-rate range test, but went from 2.3 to 2.3 at best, "
        "for rates from 1.3e-06 to 10. Raise lr_range.max or lr_range.steps, or mend the recipe."
    )


def test_a_loss_that_blows_up_at_once_says_nothing() -> None:
    short = LrCurve(rates=(1.0,) * 12, losses=(2.3,) * 12, smoothed=(2.3,) * 12)

    with pytest.raises(LrRangeError, match="at least 40 steps, but its loss blew up after 12. Lower lr_range.min"):
        short.suggest()


def test_smoothing_divides_by_the_weight_so_far() -> None:
    assert smooth([1.0, 0.0, 0.0], kept=0.5) == pytest.approx([1, 1 / 3, 1 / 7])
    assert smooth([2.0, 2.0, 2.0], kept=0.9) == pytest.approx([2, 2, 2])


@pytest.mark.parametrize(
    ("smoothed", "num"),
    [
        ([2.0] * 10 + [0.5, 2.0, 2.1, 0.4], 12),
        ([1.0, 2.0, 3.0], 3),
        ([2.0, 7.9, 8.1], 2),
        ([1.0, math.inf], 1),
        ([1.0] * 10 + [-1.0, 5.0], 12),
    ],
)
def test_a_curve_ends_above_four_times_its_least_loss(smoothed: list[float], num: int) -> None:
    assert num_sound(smoothed) == num


def test_the_first_batches_of_a_network_that_knows_its_classes_may_differ_many_times() -> None:
    first = [0.016, 0.096, 0.068, 0.078, 0.13, 0.11, 0.095, 0.087, 0.08, 0.09]

    assert num_sound([*first, 0.06, 0.23, 0.25]) == 12


def test_rates_rise_by_one_factor_and_losses_are_those_of_a_plain_loop(digits: Splits, curve: LrCurve) -> None:
    data = as_tensors(digits.train, digits.validation, 10, torch.device("cpu"))
    module = initial_module(RECIPE, data, 0, 0)
    weights = [parameter for parameter in module.parameters() if parameter.ndim > 1]
    biases = [parameter for parameter in module.parameters() if parameter.ndim == 1]
    groups: list[dict[str, Any]] = [{"params": weights}, {"params": biases, "weight_decay": 0.0}]
    optimizer = torch.optim.SGD(groups, lr=1e-6, momentum=0.9, nesterov=True, weight_decay=5e-4)
    batches = [batch for epoch in range(1, 13) for batch in Luck(0, 0).batches(epoch, data.train_y, 64)]
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=1e7 ** (1 / len(batches)))
    rates, losses = [], []
    for batch in batches[:100]:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(module(data.train_x[batch]), data.train_y[batch])
        loss.backward()
        rates.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
        losses.append(loss.item())

    assert curve.rates[:100] == pytest.approx(rates, rel=1e-9)
    assert curve.losses[:100] == pytest.approx(losses, rel=1e-4)


def test_the_test_repeats_and_leaves_torch_as_it_was(digits: Splits, curve: LrCurve) -> None:
    before, num_threads = torch.random.get_rng_state(), torch.get_num_threads()

    again = run_range_test(RECIPE, digits, LrRange(), seed=0)

    assert again == curve
    assert run_range_test(RECIPE, digits, LrRange(steps=50), seed=1).losses[0] != curve.losses[0]
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.get_num_threads() == num_threads


def test_what_a_recipe_does_later_in_training_plays_no_part(digits: Splits) -> None:
    later = {"swa_start": 0.1, "swa_lr": 1.0, "batch_growth": BatchGrowth(every=0.1)}

    tested = run_range_test(RECIPE.model_copy(update=later), digits, LrRange(steps=50), seed=0)

    assert tested == run_range_test(RECIPE, digits, LrRange(steps=50), seed=0)


def test_no_more_steps_are_trained_than_were_asked_for_where_the_data_suffice(digits: Splits) -> None:
    recipe = with_params(RECIPE, {"batch_size": 8})

    tested = run_range_test(recipe, digits, LrRange(steps=100, max=1e-3), seed=0)

    assert len(tested.rates) == 100


def accuracy_at(rate: float, digits: Splits) -> float:
    """After five epochs at a constant rate; 0 if they diverge."""
    tree = RECIPE.as_tree() | {"optimizer": Sgd(lr=rate).as_tree(), "schedule": Constant().as_tree(), "epochs": 5}
    recipe = Recipe.model_validate_json(json.dumps(tree))
    data = as_tensors(digits.train, digits.validation, 10, torch.device("cpu"))
    solo = Solo(recipe, data, Luck(0, 0), initial_state(recipe, data, 0, 0))
    ends = [solo.train_epoch(epoch)[0] for epoch in range(1, 6)]
    return 0.0 if ends[-1].first_bad_step is not None else solo.evaluate()[0]["val_accuracy"]


def test_digits_are_learned_up_to_the_largest_stable_rate_and_not_at_thirty_times_that(
    digits: Splits, curve: LrCurve
) -> None:
    suggestion = curve.suggest()

    assert 1e-3 < suggestion.steepest < 0.1
    assert 0.03 < suggestion.largest_stable < 1
    assert accuracy_at(suggestion.largest_stable, digits) > 0.9
    assert accuracy_at(30 * suggestion.largest_stable, digits) < 0.3
