import pytest
import torch
from torch import nn

from hpo.errors import PruneError
from hpo.training.batch_growth import BatchGrowth
from hpo.training.examples import TrainingData
from hpo.training.finetuning import prune
from hpo.training.luck import Luck
from hpo.training.models import Mlp
from hpo.training.optimizers import Sgd
from hpo.training.program import initial_module
from hpo.training.recipe import Recipe
from hpo.training.seeds import make_generator
from hpo.training.state import TrialState

LUCK = Luck(seed=3, seed_index=0)


@pytest.fixture
def data() -> TrainingData:
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(50, 9, generator=generator), torch.randint(3, (50,), generator=generator)
    return TrainingData(train_x=x[:40], train_y=y[:40], validation_x=x[40:], validation_y=y[40:], num_classes=3)


def make_trial(data: TrainingData, lr: float) -> tuple[Recipe, TrialState, nn.Module]:
    """One whose schedule has ended, and that keeps an average of weights."""
    sgd = Sgd(lr=lr, momentum=0.0, nesterov=False, weight_decay=0.0)
    recipe = Recipe(model=Mlp(hidden=(8,)), optimizer=sgd, ema_half_life=1.0, batch_size=20, epochs=4)
    module = initial_module(recipe, data, seed=0, trial_id=0)
    tensors = {name: value.clone() for name, value in module.state_dict().items()}
    return recipe, TrialState(epoch=4, module=tensors, optimizer={}, averaged=tensors), module


def test_fine_tuning_is_plain_training_at_a_tenth_of_the_rate_through_epochs_counted_on(data: TrainingData) -> None:
    recipe, state, module = make_trial(data, lr=0.5)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.05)
    for epoch in (5, 6):
        order = torch.randperm(40, generator=make_generator(LUCK.seed, LUCK.seed_index, "order", epoch))
        for batch in order.split(20):
            optimizer.zero_grad()
            nn.functional.cross_entropy(module(data.train_x[batch]), data.train_y[batch]).backward()
            optimizer.step()

    done = prune(recipe, data, LUCK, state, mode="global_l1", amount=0.0, num_epochs=2)

    accuracy = (module(data.validation_x).argmax(1) == data.validation_y).float().mean().item()
    assert done.recipe == recipe
    assert done.state.epoch == 6
    assert done.metrics.keys() == {"val_loss", "val_accuracy"}
    assert done.metrics["val_accuracy"] == pytest.approx(accuracy)
    for name, value in module.state_dict().items():
        torch.testing.assert_close(done.state.module[name], value)


def test_frozen_layers_are_pruned_and_what_is_left_of_them_is_not_fine_tuned(data: TrainingData) -> None:
    recipe, state, module = make_trial(data, lr=0.5)
    frozen = recipe.model_copy(update={"frozen_layers": 1})

    done = prune(frozen, data, LUCK, state, mode="global_l1", amount=0.5, num_epochs=2)

    first, last = (name for name, value in module.state_dict().items() if value.ndim > 1)
    before, after = state.module[first], done.state.module[first]
    assert done.num_nonzero == 48  # half of 9 * 8 + 8 * 3
    assert 0 < after.count_nonzero() < after.numel()
    assert torch.equal(after, torch.where(after == 0, 0, before))
    assert not torch.equal(done.state.module[last], torch.where(done.state.module[last] == 0, 0, state.module[last]))


def test_a_pruned_network_is_counted_without_its_zeros_and_with_them(data: TrainingData) -> None:
    recipe, state, _ = make_trial(data, lr=0.5)

    zeroed = prune(recipe, data, LUCK, state, mode="global_l1", amount=0.75, num_epochs=1)
    smaller = prune(recipe, data, LUCK, state, mode="structured", amount=0.75, num_epochs=1)

    assert (zeroed.num_nonzero, zeroed.num_parameters) == (24, 107)  # a quarter of 9 * 8 + 8 * 3; and 11 biases
    assert (smaller.num_nonzero, smaller.num_parameters) == (24, 29)  # 9 * 2 + 2 * 3; and 5 biases


def test_pruning_leaves_the_state_that_it_begins_with(data: TrainingData) -> None:
    recipe, state, module = make_trial(data, lr=0.5)

    prune(recipe, data, LUCK, state, mode="global_l1", amount=0.5, num_epochs=1)

    assert all(torch.equal(state.module[name], value) for name, value in module.state_dict().items())


def test_fine_tuning_that_diverges_is_refused(data: TrainingData) -> None:
    recipe, state, _ = make_trial(data, lr=1e30)

    with pytest.raises(PruneError, match="every loss of fine-tuning must be finite, but at amount 0.5 one was not"):
        prune(recipe, data, LUCK, state, mode="global_l1", amount=0.5, num_epochs=3)


def test_batches_that_have_grown_stay_as_they_are_while_fine_tuning(data: TrainingData) -> None:
    recipe, state, _ = make_trial(data, lr=0.1)
    grown = recipe.model_copy(update={"batch_growth": BatchGrowth(every=0.5, factor=3)})
    as_it_ended = recipe.model_copy(update={"batch_size": 60})

    done = prune(grown, data, LUCK, state, mode="global_l1", amount=0.0, num_epochs=2)

    expected = prune(as_it_ended, data, LUCK, state, mode="global_l1", amount=0.0, num_epochs=2)
    assert done.metrics == expected.metrics
