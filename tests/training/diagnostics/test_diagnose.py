"""Diagnoses against plain torch, and trials against themselves."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from hpo.paths import SweepPaths
from hpo.records import Report, Segment, TrialSpec
from hpo.training.data import Digits, Examples, Splits
from hpo.training.diagnostics import diagnose as looks
from hpo.training.diagnostics.options import Diagnostics
from hpo.training.diagnostics.watching import Watch, summary
from hpo.training.examples import TrainingData, as_tensors
from hpo.training.initializers import KaimingNormal
from hpo.training.initializers.plain import ConstantInit
from hpo.training.luck import Luck
from hpo.training.models import Cnn, Mlp
from hpo.training.models.layers import Activation, make_activation
from hpo.training.optimizers import Sgd
from hpo.training.program import initial_state
from hpo.training.recipe import Recipe
from hpo.training.solo import Solo
from hpo.training.state import TrialState
from hpo.training.workload import TorchWorkload

RECIPE = Recipe(
    model=Mlp(hidden=(16, 12), activation="tanh"),
    optimizer=Sgd(lr=0.1, momentum=0.8, nesterov=False, weight_decay=0.01),
    epochs=3,
    batch_size=100,
)


@pytest.fixture(scope="module")
def splits() -> Splits:
    return Digits().load(0)


@pytest.fixture(scope="module")
def data(splits: Splits) -> TrainingData:
    return as_tensors(splits.train, splits.validation, 10, torch.device("cpu"))


@pytest.fixture(scope="module")
def state(data: TrainingData) -> TrialState:
    """After an epoch."""
    solo = Solo(RECIPE, data, Luck(0, 0), initial_state(RECIPE, data, 0, 0))
    solo.train_epoch(1)
    return solo.state(0, 1)


def batch(data: TrainingData, num: int) -> tuple[torch.Tensor, torch.Tensor]:
    indices = looks.examples(data, 0, num)
    return data.train_x[indices], data.train_y[indices]


def layers_of(data: TrainingData, state: TrialState) -> nn.Sequential:
    """The network of RECIPE, in torch's own words."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.Tanh(), nn.Linear(16, 12), nn.Tanh(), nn.Linear(12, 10)).to(
        data.train_x
    )
    net.load_state_dict(state.module)
    return net


def test_update_ratios_are_those_of_a_step_of_torchs_own_optimizer(data: TrainingData, state: TrialState) -> None:
    net = layers_of(data, state)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.8, weight_decay=0.01)
    for name, parameter in net.named_parameters():
        optimizer.state[parameter]["momentum_buffer"] = state.optimizer[f"momentum_buffer.{name}"].clone()
    before = [layer.weight.detach().clone() for layer in net if isinstance(layer, nn.Linear)]
    x, y = batch(data, 100)
    functional.cross_entropy(net(x), y).backward()
    optimizer.step()
    after = [layer.weight.detach() for layer in net if isinstance(layer, nn.Linear)]
    expected = sorted(((b - a).norm() / a.norm()).item() for a, b in zip(before, after, strict=True))

    found = looks.updates(RECIPE, data, state, rate=0.05, seed=0)

    assert list(found) == ["update_ratio_least", "update_ratio_median", "update_ratio_largest"]
    assert list(found.values()) == pytest.approx(expected, rel=1e-4)


def test_gradient_norms_are_those_of_torchs_own_backward_pass(data: TrainingData, state: TrialState) -> None:
    net = layers_of(data, state)
    x, y = batch(data, 100)
    functional.cross_entropy(net(x), y).backward()
    grads = [layer.weight.grad for layer in net if isinstance(layer, nn.Linear) and layer.weight.grad is not None]
    expected = sorted(torch.linalg.vector_norm(grad).item() for grad in grads)

    found = looks.gradients(RECIPE.model_copy(update={"grad_clip": 1e-6}), data, state, seed=0)

    assert [found[f"gradient_norm_{of}"] for of in ("least", "median", "largest")] == pytest.approx(expected, rel=1e-4)
    assert found["gradient_zeros_largest"] == max(torch.eq(grad, 0).float().mean().item() for grad in grads)
    assert found["gradients_not_finite"] == 0


def test_activations_are_what_forward_hooks_see(data: TrainingData, state: TrialState) -> None:
    net, seen = layers_of(data, state), []
    for number in (2, 4):
        net[number].register_forward_hook(lambda _, __, out: seen.append(out.detach().double().numpy()))
    net(batch(data, 256)[0])
    constant = [(out.mean(0) ** 2).sum() / (out**2).mean(0).sum() for out in seen]

    found = looks.activations(RECIPE, data, looks.network(RECIPE, data, state), seed=0)

    assert found == pytest.approx(
        {
            "saturated_largest": max((np.abs(out) > 0.97).mean() for out in seen),
            "constancy_largest": max(constant),
            "activation_std_ratio": seen[1].std() / seen[0].std(),
        },
        rel=1e-4,
    )


def test_features_are_what_the_last_layer_is_given(data: TrainingData, state: TrialState) -> None:
    given = layers_of(data, state)[:5](batch(data, 256)[0]).detach().double().numpy()
    correlations = np.abs(np.corrcoef(given.T))[np.triu_indices(12, 1)]
    shares = np.linalg.eigvalsh(np.cov(given.T)) / np.cov(given.T).trace()

    found = looks.features(RECIPE, data, looks.network(RECIPE, data, state), seed=0)

    assert found["feature_correlation"] == pytest.approx(correlations.mean(), rel=1e-4)
    assert found["feature_rank"] == pytest.approx(np.exp(-(shares * np.log(shares)).sum()), rel=1e-4)


@pytest.mark.parametrize("name", get_args(Activation))
def test_every_built_in_activation_is_seen_once(name: Activation) -> None:
    with Watch() as watch:
        make_activation(name)(torch.linspace(-9, 9, 40).view(10, 4).T)

    [own] = watch.activities
    assert (own.saturated is not None) == (name in ("tanh", "sigmoid"))
    assert (own.dead is not None) == (name == "relu")
    assert own.dead in (None, 0.5)


@pytest.mark.parametrize("relu", [torch.relu, functional.relu, torch.Tensor.relu, nn.ReLU(), nn.ReLU(inplace=True)])
def test_an_activation_is_seen_however_it_is_called(relu: Callable[[torch.Tensor], torch.Tensor]) -> None:
    with Watch() as watch:
        relu(torch.tensor([[-1.0, 1.0], [-2.0, 0.0]]))

    assert dict(summary(watch.activities)) == {"dead_largest": 0.5, "constancy_largest": 0.5}


def test_an_ignorant_network_starts_at_a_ratio_of_one(data: TrainingData) -> None:
    """All classes alike cost ln C; their shares, on unequal data, the entropy of these."""
    plain = RECIPE.model_copy(update={"initializer": ConstantInit(value=0.0)})
    y = torch.tensor([0] * 150 + [1] * 50)
    unequal = TrainingData(
        train_x=torch.ones(200, 4), train_y=y, validation_x=torch.ones(1, 4), validation_y=y[:1], num_classes=2
    )
    prior = plain.model_copy(update={"initializer": ConstantInit(value=0.0, output_bias="log_prior")})

    ratios = [
        looks.loss_ratio(recipe, own, looks.settled(recipe, own, initial_state(recipe, own, 0, 0), 0), seed=0)
        for recipe, own in ((plain, data), (prior, unequal))
    ]

    assert ratios == pytest.approx([1.0, 1.0], rel=1e-4)


def test_the_loss_at_the_start_is_torchs_with_batch_statistics(data: TrainingData) -> None:
    recipe = RECIPE.model_copy(update={"model": Mlp(hidden=(16,), norm="batch", dropout=0.5)})
    first = initial_state(recipe, data, 0, 0)
    x, y = batch(data, 256)
    net = looks.network(recipe, data, first)
    dict(net.named_modules())["2"].train()  # the norm alone
    expected = functional.cross_entropy(net(x), y).item() / math.log(10)

    found = looks.diagnose(recipe.model_copy(update={"diagnostics": Diagnostics(every=1, kinds=("start",))}), data,
                           first, 0.1, 0, first)  # fmt: skip

    assert found == pytest.approx({"start_loss_ratio": expected}, rel=1e-2)


def test_a_relu_that_its_bias_has_killed_shows_in_units_and_gradients(data: TrainingData) -> None:
    recipe = RECIPE.model_copy(update={"model": Mlp(hidden=(16,))})
    killed = initial_state(recipe, data, 0, 0)
    killed.module["1.bias"].fill_(-1e6)

    found = looks.diagnose(recipe, data, killed, 0.1, 0)

    assert found["dead_largest"] == 1.0
    assert found["constancy_largest"] == 1.0
    assert found["gradient_zeros_largest"] == 1.0
    assert found.keys().isdisjoint({"feature_correlation", "feature_rank"})


def test_gradients_that_overflow_are_counted_and_their_norms_left_out(data: TrainingData, state: TrialState) -> None:
    huge = TrialState(epoch=1, module={**state.module, "5.weight": torch.full((10, 12), math.inf)}, optimizer={})
    recipe = RECIPE.model_copy(update={"diagnostics": Diagnostics(every=1, kinds=("gradients",))})

    found = looks.diagnose(recipe, data, huge, 0.1, 0)

    assert found["gradients_not_finite"] > 0
    assert all(map(math.isfinite, found.values()))
    assert "gradient_norm_largest" not in found


def test_a_look_changes_neither_the_trial_nor_torchs_generator(data: TrainingData, state: TrialState) -> None:
    before = {name: value.clone() for name, value in {**state.module, **state.optimizer}.items()}
    generator = torch.get_rng_state()

    looks.diagnose(RECIPE, data, state, 0.1, 0, state)

    assert all(torch.equal(value, before[name]) for name, value in {**state.module, **state.optimizer}.items())
    assert torch.equal(torch.get_rng_state(), generator)


@pytest.fixture(scope="module")
def few(splits: Splits) -> TorchWorkload:
    return TorchWorkload(
        train=Examples(splits.train.x[:300], splits.train.y[:300]),
        validation=Examples(splits.validation.x[:50], splits.validation.y[:50]),
        num_classes=10,
        paths=SweepPaths(Path("unset")),
    )


def reports(workload: TorchWorkload, folder: Path, recipe: Recipe, *, lanes: int) -> dict[tuple[int, int], Report]:
    """Of two trials through three epochs, by trial and epoch."""
    recipes = [recipe, recipe.model_copy(update={"optimizer": Sgd(lr=0.01)})]
    opened = TorchWorkload(
        train=workload.train,
        validation=workload.validation,
        num_classes=10,
        paths=SweepPaths(folder),
        lanes=lanes,
    ).open(num_threads=1, use_gpu=False)
    cohort = tuple(TrialSpec(trial_id=k, recipe=own.model_dump_json()) for k, own in enumerate(recipes))
    found = opened(Segment(segment_id=1, cohort=cohort, from_epoch=0, to_epoch=3, seed=0, checkpoints={}))
    return {(own.trial_id, own.epoch): own for own in found if isinstance(own, Report)}


@pytest.mark.parametrize("lanes", [1, 2])
@pytest.mark.parametrize(
    "model", [Mlp(hidden=(16,), dropout=0.3, norm="batch"), Cnn(channels=(4,), hidden=8, dropout=0.3)]
)
def test_diagnostics_add_metrics_at_their_epochs_and_change_no_bit_of_others(
    few: TorchWorkload, tmp_path: Path, model: Mlp | Cnn, lanes: int
) -> None:
    plain = Recipe(model=model, epochs=3, initializer=KaimingNormal())
    clocked = {"seconds", "samples_per_second"}

    without = reports(few, tmp_path / "without", plain, lanes=lanes)
    with_ = reports(few, tmp_path / "with", plain.model_copy(update={"diagnostics": Diagnostics(every=2)}), lanes=lanes)

    added = {key: with_[key].metrics.keys() - own.metrics.keys() for key, own in without.items()}
    assert [len(added[0, epoch]) > 10 for epoch in (1, 2, 3)] == [True, False, True]
    assert [key for key, names in added.items() if "start_loss_ratio" in names] == [(0, 1), (1, 1)]
    for key, own in without.items():
        assert {name: with_[key].metrics[name] for name in own.metrics if name not in clocked} == {
            name: value for name, value in own.metrics.items() if name not in clocked
        }


def test_a_lane_is_diagnosed_as_the_same_trial_alone(few: TorchWorkload, tmp_path: Path) -> None:
    recipe = Recipe(model=Mlp(hidden=(16,), dropout=0.3), epochs=3, diagnostics=Diagnostics(every=1))

    lanes, alone = (reports(few, tmp_path / str(num), recipe, lanes=num) for num in (2, 1))

    names = {"update_ratio_median", "gradient_norm_largest", "constancy_largest", "feature_rank", "start_loss_ratio"}
    assert names <= lanes[1, 1].metrics.keys()
    for key, own in alone.items():
        for name in names & own.metrics.keys():
            assert lanes[key].metrics[name] == pytest.approx(own.metrics[name], rel=1e-3)
    assert alone[0, 1].metrics["update_ratio_median"] > 2 * alone[1, 1].metrics["update_ratio_median"]
