"""Trials as lanes of one program equal each trial alone; see hpo.training.program."""

import sys
import types
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import torch
from torch import nn

from hpo.config import Config
from hpo.training.augmentations import Augment
from hpo.training.batch_growth import BatchGrowth
from hpo.training.examples import TrainingData
from hpo.training.lanes import Lanes
from hpo.training.losses import CrossEntropy, Distillation, Focal
from hpo.training.luck import Luck
from hpo.training.models import Cnn, Custom, Mlp, Model, Resnet, Resnet9
from hpo.training.optimizers import Adadelta, Adagrad, Adam, AdamW, LrFactor, Optimizer, RAdam, RmsProp, Sgd
from hpo.training.program import Program, initial_state
from hpo.training.recipe import Recipe
from hpo.training.regularizers import Regularizer
from hpo.training.schedules import Cosine, Linear, Schedule, Step
from hpo.training.solo import Solo
from hpo.training.state import AVERAGED, RAW, TrialState

NUM_LANES = 4
LUCK = Luck(seed=0, seed_index=0)
EPOCHS = 13  # of 4 steps: 52 in all

MODELS: dict[str, Sequence[Model]] = {
    "mlp": [Mlp(hidden=(16, 8), dropout=0.1 + 0.1 * k) for k in range(NUM_LANES)],
    "mlp with batch norm": [Mlp(hidden=(16, 8), norm="batch", activation="tanh")] * NUM_LANES,
    "cnn with batch norm": [Cnn(channels=(4, 6), hidden=8, dropout=0.1 + 0.1 * k) for k in range(NUM_LANES)],
    "cnn": [Cnn(channels=(4,), hidden=8, norm="none", activation="gelu")] * NUM_LANES,
}
BLOCKS: dict[str, Sequence[Model]] = {
    "mlp of residual blocks with layer norm": [
        Mlp(
            hidden=(8, 8, 8),
            residual=True,
            norm="layer",
            activation="leaky_relu",
            leaky_slope=0.1 * k,
            input_dropout=0.1 + 0.1 * k,
            dropconnect=0.1 + 0.1 * k,
        )
        for k in range(NUM_LANES)
    ],
    "mlp of maxout with ghost batch norm": [
        Mlp(hidden=(8, 6), activation="maxout", norm="batch", norm_position="after", norm_momentum=0.3, ghost_batch=8)
    ]
    * NUM_LANES,
    "cnn with layer norm": [
        Cnn(channels=(4, 6), hidden=8, norm="layer", norm_position="after", spatial_dropout=0.1 + 0.1 * k)
        for k in range(NUM_LANES)
    ],
    "cnn of whitened patches": [
        Cnn(channels=(4,), hidden=8, whiten_patches=2, dropout=0.1 + 0.1 * k) for k in range(NUM_LANES)
    ],
    "cnn with instance norm": [Cnn(channels=(4, 6), hidden=8, norm="instance")] * NUM_LANES,
    "resnet with group norm": [
        Resnet(width=4, norm="group", group_size=2, drop_path=0.1 + 0.1 * k, dropout=0.1 * (k + 1))
        for k in range(NUM_LANES)
    ],
    "resnet with batch norm": [
        Resnet(width=2, zero_init_residual=True, drop_path=0.1 + 0.1 * k) for k in range(NUM_LANES)
    ],
    "resnet9 with ghost batch norm": [
        Resnet9(width=2, ghost_batch=8, drop_path=0.1 * k + 0.1, output_scale=0.05 * (k + 1)) for k in range(NUM_LANES)
    ],
}


class Residual(nn.Module):
    """A network of a user's own: not a Sequential, so that it goes through `vmap`."""

    def __init__(self, num_channels: int, num_classes: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(num_channels, 4, 3, padding=1)
        self.inner = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU())
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Dropout(0.2), nn.Linear(16, num_classes))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        stem = self.stem(x)
        out: torch.Tensor = self.head(stem + self.inner(stem))
        return out


def residual(input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    return Residual(input_shape[0], num_classes)


sys.modules["users_own_nets"] = types.ModuleType("users_own_nets")
sys.modules["users_own_nets"].residual = residual  # type: ignore[attr-defined]
MODELS["a user's own, with batch norm"] = [Custom(factory="users_own_nets:residual")] * NUM_LANES

OPTIMIZERS: dict[str, Sequence[Optimizer]] = {
    "sgd": [Sgd(lr=0.05 * (k + 1), momentum=0.2 * k, weight_decay=0.01 * k) for k in range(NUM_LANES)],
    "sgd without nesterov": [Sgd(lr=0.05 * (k + 1), momentum=0.2 * k, nesterov=False) for k in range(NUM_LANES)],
    "adam": [
        Adam(
            lr=0.005 * (k + 1), beta1=0.8 + 0.03 * k, beta2=0.99 + 0.001 * k, eps=10.0 ** (k - 8), weight_decay=0.01 * k
        )
        for k in range(NUM_LANES)
    ],
    "adamw": [
        AdamW(
            lr=0.005 * (k + 1), beta1=0.8 + 0.03 * k, beta2=0.99 + 0.001 * k, eps=10.0 ** (k - 8), weight_decay=0.1 * k
        )
        for k in range(NUM_LANES)
    ],
    "decoupled sgd": [
        Sgd(lr=0.05 * (k + 1), momentum=0.2 * k, weight_decay=0.1 * k, decay_mode="decoupled") for k in range(NUM_LANES)
    ],
    "amsgrad": [AdamW(lr=0.005 * (k + 1), beta2=0.5 + 0.1 * k, eps=1e-4, amsgrad=True) for k in range(NUM_LANES)],
    "adagrad": [Adagrad(lr=0.02 * (k + 1), lr_decay=0.1 * k, weight_decay=0.01 * k) for k in range(NUM_LANES)],
    "adadelta": [Adadelta(lr=0.5 * (k + 1), rho=0.8 + 0.05 * k, weight_decay=0.01 * k) for k in range(NUM_LANES)],
    "radam": [RAdam(lr=0.005 * (k + 1), beta2=0.99 - 0.05 * k, weight_decay=0.01 * k) for k in range(NUM_LANES)],
    "rmsprop": [
        RmsProp(lr=0.002 * (k + 1), alpha=0.8 + 0.03 * k, momentum=0.2 * k, weight_decay=0.01 * k)
        for k in range(NUM_LANES)
    ],
}
OPTIONS: dict[str, Sequence[Mapping[str, Config | float | str]]] = {
    "label smoothing": [{"loss": CrossEntropy(label_smoothing=0.05 + 0.05 * k)} for k in range(NUM_LANES)],
    "class weights": [
        {"loss": CrossEntropy(class_weights="inverse_frequency", label_smoothing=0.1 + 0.1 * k, entropy_coef=0.1 + k)}
        for k in range(NUM_LANES)
    ],
    "focal": [{"loss": Focal(gamma=0.5 * k, class_weights="inverse_frequency")} for k in range(NUM_LANES)],
    "distillation": [
        {"loss": Distillation(teacher=Path("teacher"), alpha=0.3 * k, temperature=0.5 + k)} for k in range(NUM_LANES)
    ],
    "distillation of augmented examples": [
        {
            "loss": Distillation(teacher=Path("teacher"), alpha=0.2 * (k + 1), label_smoothing=0.1 * (k + 1)),
            "augmentation": Augment(flip="random", translate=1),
        }
        for k in range(NUM_LANES)
    ],
    "l1": [{"regularizer": Regularizer(l1=0.001 * (k + 1))} for k in range(NUM_LANES)],
    "max norm": [{"regularizer": Regularizer(max_norm=0.3 + 0.2 * k)} for k in range(NUM_LANES)],
    "gradient noise after clipping": [
        {"regularizer": Regularizer(gradient_noise=0.01 * (k + 1)), "grad_clip": 0.2 + 0.3 * k}
        for k in range(NUM_LANES)
    ],
    "factors on rates": [{"lr_factor": LrFactor(bias=2.0 + k, head=0.5 + k)} for k in range(NUM_LANES)],
    "a factor on the head's rate": [{"lr_factor": LrFactor(head=0.5 + k)} for k in range(NUM_LANES)],
    "rates that fall by layer": [{"lr_factor": LrFactor(layer_decay=0.9 - 0.2 * k)} for k in range(NUM_LANES)],
    "a running average": [{"ema_half_life": 0.5 + k} for k in range(NUM_LANES)],
    "an average from some epoch on": [{"swa_start": 0.3 + 0.2 * k} for k in range(NUM_LANES)],
    "an average at a rate of its own": [{"swa_start": 0.3 + 0.2 * k, "swa_lr": 0.2 * k} for k in range(NUM_LANES)],
    "batches that grow": [{"batch_growth": BatchGrowth(every=0.3), "ema_half_life": 0.5 + k} for k in range(NUM_LANES)],
    "mixup": [{"augmentation": Augment(mix="mixup", mix_alpha=0.4)}] * NUM_LANES,
    "cutmix of weighted classes": [
        {
            "augmentation": Augment(mix="cutmix", flip="alternating", translate=1),
            "loss": CrossEntropy(class_weights="inverse_frequency", label_smoothing=0.1 + 0.1 * k),
        }
        for k in range(NUM_LANES)
    ],
    "focal of mixed examples": [
        {"augmentation": Augment(mix="mixup"), "loss": Focal(gamma=0.5 * k)} for k in range(NUM_LANES)
    ],
    "frozen layers": [
        {"frozen_layers": 1, "grad_clip": 0.2 + 0.3 * k, "regularizer": Regularizer(l1=0.001 * k + 1e-4, max_norm=1.0)}
        for k in range(NUM_LANES)
    ],
    "frozen layers and norms": [
        {"frozen_layers": 1, "frozen_norms": True, "swa_start": 0.3 + 0.2 * k} for k in range(NUM_LANES)
    ],
    "stratified batches": [{"batches": "stratified"}] * NUM_LANES,
}
SCHEDULES: dict[str, Sequence[Schedule]] = {
    "cosine": [Cosine(warmup=0.1 * k, floor=0.05 * k) for k in range(NUM_LANES)],
    "linear": [Linear(warmup=0.1 * k, floor=0.05 * k) for k in range(NUM_LANES)],
    "step": [Step(every=0.2 + 0.1 * k, gamma=0.5 / (k + 1)) for k in range(NUM_LANES)],
}


def make_data(num_train: int = 50, dtype: torch.dtype = torch.float64) -> TrainingData:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(num_train + 20, 2, 8, 8, generator=generator, dtype=dtype)
    y = torch.randint(4, (num_train + 20,), generator=generator)
    return TrainingData(
        train_x=x[:num_train],
        train_y=y[:num_train],
        validation_x=x[num_train:],
        validation_y=y[num_train:],
        num_classes=4,
        teacher=torch.randn(num_train, 4, generator=generator, dtype=dtype).log_softmax(1),
    )


def make_recipes(
    models: Sequence[Model], optimizers: Sequence[Optimizer], schedules: Sequence[Schedule]
) -> list[Recipe]:
    return [
        Recipe(model=model, optimizer=optimizer, schedule=schedule, batch_size=16, epochs=EPOCHS + 1)
        for model, optimizer, schedule in zip(models, optimizers, schedules, strict=True)
    ]


def start(recipes: Sequence[Recipe], data: TrainingData) -> list[TrialState]:
    return [initial_state(recipe, data, LUCK.seed, trial_id) for trial_id, recipe in enumerate(recipes)]


def alone(recipes: Sequence[Recipe], data: TrainingData, states: Sequence[TrialState]) -> list[Program]:
    return [Solo(recipe, data, LUCK, state) for recipe, state in zip(recipes, states, strict=True)]


def assert_equal(lanes: Program, solos: Sequence[Program], tolerance: float) -> None:
    for lane, solo in enumerate(solos):
        ours, theirs = lanes.state(lane, 0), solo.state(0, 0)
        assert ours.module.keys() == theirs.module.keys()
        for kind in ("module", "averaged"):
            for name, value in getattr(theirs, kind).items():
                torch.testing.assert_close(getattr(ours, kind)[name], value, atol=tolerance, rtol=0)
        assert lanes.evaluate()[lane] == pytest.approx(solo.evaluate()[0], abs=tolerance)
        [predicted] = solo.predict()
        assert lanes.predict()[lane].keys() == predicted.keys()
        for weights, log_probs in predicted.items():
            torch.testing.assert_close(lanes.predict()[lane][weights], log_probs, atol=1e-2, rtol=1e-3)


def assert_measured(program: Program, data: TrainingData) -> None:
    """What a program predicts has the loss that it measures, as closely as float16 tells."""
    for predicted, metrics in zip(program.predict(), program.evaluate(), strict=True):
        for weights, log_probs in predicted.items():
            prefix = {RAW: [""], AVERAGED: ["ema_", "swa_"]}[weights]
            [expected] = [metrics[f"{each}val_loss"] for each in prefix if f"{each}val_loss" in metrics]
            loss = torch.nn.functional.nll_loss(log_probs.double(), data.validation_y).item()
            assert log_probs.dtype == torch.float16
            assert loss == pytest.approx(expected, rel=2e-3)
            torch.testing.assert_close(log_probs.double().exp().sum(1), torch.ones(20).double(), atol=5e-3, rtol=0)


def train_both(recipes: Sequence[Recipe], data: TrainingData, tolerance: float) -> None:
    """52 steps as lanes and alone, with all the lanes' states taken out and put back in the middle."""
    states = start(recipes, data)
    lanes, solos = Lanes(recipes, data, LUCK, states), alone(recipes, data, states)
    for epoch in range(1, EPOCHS + 1):
        together, apart = lanes.train_epoch(epoch), [solo.train_epoch(epoch)[0] for solo in solos]
        assert [end.lr for end in together] == [end.lr for end in apart]
        losses = [end.train_loss for end in apart]
        assert [end.train_loss for end in together] == pytest.approx(losses, abs=tolerance)
        if epoch == EPOCHS // 2:
            states = [lanes.state(lane, epoch) for lane in range(len(recipes))]
            lanes, solos = Lanes(recipes, data, LUCK, states), alone(recipes, data, states)
    assert_equal(lanes, solos, tolerance)
    assert_measured(lanes, data)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("model", MODELS)
def test_lanes_equal_solo_for_every_model_and_optimizer(model: str, optimizer: str) -> None:
    recipes = make_recipes(MODELS[model], OPTIMIZERS[optimizer], SCHEDULES["cosine"])

    train_both(recipes, make_data(), tolerance=1e-9 if "norm" not in model else 1e-6)


@pytest.mark.parametrize("block", BLOCKS)
def test_lanes_equal_solo_for_every_block(block: str) -> None:
    train_both(make_recipes(BLOCKS[block], OPTIMIZERS["sgd"], SCHEDULES["cosine"]), make_data(), tolerance=1e-6)


def test_lanes_equal_solo_with_factors_on_their_rates() -> None:
    data = make_data()
    recipes = make_recipes(MODELS["mlp"], OPTIMIZERS["sgd"], SCHEDULES["cosine"])
    states, factors = start(recipes, data), [1.0, 0.3, 0.0, 0.09]
    lanes, solos = Lanes(recipes, data, LUCK, states), alone(recipes, data, states)

    together = lanes.train_epoch(1, factors)
    apart = [solo.train_epoch(1, [factor])[0] for solo, factor in zip(solos, factors, strict=True)]

    assert [end.lr for end in together] == [end.lr for end in apart]
    assert_equal(lanes, solos, tolerance=1e-9)
    assert lanes.state(2, 1).module["1.weight"].equal(states[2].module["1.weight"])


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_lanes_equal_solo_for_every_schedule(schedule: str) -> None:
    train_both(make_recipes(MODELS["mlp"], OPTIMIZERS["sgd"], SCHEDULES[schedule]), make_data(), tolerance=1e-9)


@pytest.mark.parametrize(
    ("model", "option"),
    [
        *(("mlp", option) for option in OPTIONS),
        ("mlp with batch norm", "a running average"),
        ("mlp with batch norm", "an average from some epoch on"),
        ("a user's own, with batch norm", "an average from some epoch on"),
        ("mlp with batch norm", "frozen layers and norms"),
        ("a user's own, with batch norm", "frozen layers"),
        ("a user's own, with batch norm", "frozen layers and norms"),
        ("cnn with batch norm", "max norm"),
        ("cnn with batch norm", "rates that fall by layer"),
        ("cnn with batch norm", "gradient noise after clipping"),
    ],
)
def test_lanes_equal_solo_for_every_option(model: str, option: str) -> None:
    plain = make_recipes(MODELS[model], OPTIMIZERS["sgd"], SCHEDULES["cosine"])
    recipes = [recipe.model_copy(update=update) for recipe, update in zip(plain, OPTIONS[option], strict=True)]

    train_both(recipes, make_data(), tolerance=1e-9 if "norm" not in model else 1e-6)


@pytest.mark.parametrize("option", ["factors on rates", "rates that fall by layer", "l1", "max norm"])
def test_lanes_equal_solo_for_options_of_an_optimizer_without_fused_kernel(option: str) -> None:
    plain = make_recipes(MODELS["mlp"], OPTIMIZERS["rmsprop"], SCHEDULES["cosine"])
    recipes = [recipe.model_copy(update=update) for recipe, update in zip(plain, OPTIONS[option], strict=True)]

    train_both(recipes, make_data(), tolerance=1e-9)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_lanes_equal_solo_with_smoothing_clipping_and_averaging(optimizer: str) -> None:
    recipes = [
        recipe.model_copy(
            update={
                "loss": CrossEntropy(label_smoothing=0.05 + 0.05 * lane),
                "grad_clip": 0.2 + 0.3 * lane,
                "ema_half_life": 0.5 + lane,
            }
        )
        for lane, recipe in enumerate(
            make_recipes(MODELS["mlp with batch norm"], OPTIMIZERS[optimizer], SCHEDULES["cosine"])
        )
    ]

    train_both(recipes, make_data(), tolerance=1e-6)


def test_clipping_is_by_the_lanes_own_norm() -> None:
    recipes = [
        recipe.model_copy(update={"grad_clip": clip})
        for recipe, clip in zip(
            make_recipes(MODELS["mlp"], OPTIMIZERS["sgd"], SCHEDULES["cosine"]), (1e-3, 0.1, 1.0, 1e9), strict=True
        )
    ]

    train_both(recipes, make_data(), tolerance=1e-9)


def test_a_last_batch_of_one_example_joins_the_one_before() -> None:
    recipes = make_recipes(MODELS["mlp with batch norm"], OPTIMIZERS["sgd"], SCHEDULES["cosine"])

    train_both(recipes, make_data(num_train=49), tolerance=1e-6)


@pytest.mark.parametrize("model", MODELS | BLOCKS)
def test_a_lane_lost_to_nan_leaves_the_others_bit_identical(model: str) -> None:
    data = make_data(dtype=torch.float32)
    recipes = make_recipes((MODELS | BLOCKS)[model], OPTIMIZERS["sgd"], SCHEDULES["cosine"])
    doomed = [*recipes[:3], recipes[3].model_copy(update={"optimizer": Sgd(lr=1e30)})]
    states = start(recipes, data)
    undisturbed, disturbed = Lanes(recipes, data, LUCK, states), Lanes(doomed, data, LUCK, states)

    undisturbed.train_epoch(1)
    ends = disturbed.train_epoch(1)

    assert [end.first_bad_step is None for end in ends] == [True, True, True, False]
    for lane in range(3):
        ours, theirs = disturbed.state(lane, 1).module, undisturbed.state(lane, 1).module
        assert all(ours[name].equal(value) for name, value in theirs.items())


def test_lanes_and_solo_agree_on_the_first_bad_step() -> None:
    data = make_data()
    recipes = [
        recipe.model_copy(update={"optimizer": Sgd(lr=10.0 ** (40 * lane), nesterov=False)})
        for lane, recipe in enumerate(make_recipes(MODELS["mlp"], OPTIMIZERS["sgd"], SCHEDULES["cosine"]))
    ]
    states = start(recipes, data)

    together = Lanes(recipes, data, LUCK, states).train_epoch(1)
    apart = [solo.train_epoch(1)[0] for solo in alone(recipes, data, states)]

    assert [end.first_bad_step for end in together] == [end.first_bad_step for end in apart]
    assert sum(end.first_bad_step is not None for end in together) >= 2


def test_lanes_that_are_kept_train_on_as_if_the_others_had_stayed() -> None:
    data = make_data(dtype=torch.float32)
    recipes = make_recipes(MODELS["mlp"], OPTIMIZERS["adamw"], SCHEDULES["cosine"])
    states = start(recipes, data)
    everyone, some = Lanes(recipes, data, LUCK, states), Lanes(recipes, data, LUCK, states)
    everyone.train_epoch(1)
    some.train_epoch(1)

    some.keep([1, 3])
    everyone.train_epoch(2)
    some.train_epoch(2)

    for lane, kept in enumerate([1, 3]):
        theirs = everyone.state(kept, 2).module
        assert all(value.equal(theirs[name]) for name, value in some.state(lane, 2).module.items())


def test_the_state_of_a_lane_is_a_plain_state_dict() -> None:
    data = make_data()
    recipes = make_recipes(MODELS["cnn with batch norm"], OPTIMIZERS["sgd"], SCHEDULES["cosine"])
    lanes = Lanes(recipes, data, LUCK, start(recipes, data))
    lanes.train_epoch(1)

    module = recipes[2].model.build(data.input_shape, data.num_classes).double()
    module.load_state_dict(lanes.state(2, 1).module)

    loss = torch.nn.functional.cross_entropy(module.eval()(data.validation_x), data.validation_y)
    assert loss.item() == pytest.approx(lanes.evaluate()[2]["val_loss"])


@pytest.mark.parametrize("model", ["mlp", "cnn with batch norm"])
def test_in_bfloat16_lanes_learn_what_a_trial_learns_alone(model: str) -> None:
    data = make_data(dtype=torch.float32)
    recipes = [
        recipe.model_copy(update={"precision": "bfloat16"})
        for recipe in make_recipes(MODELS[model], OPTIMIZERS["sgd"], SCHEDULES["cosine"])
    ]
    states = start(recipes, data)

    together = Lanes(recipes, data, LUCK, states).train_epoch(1)
    apart = [solo.train_epoch(1)[0] for solo in alone(recipes, data, states)]

    losses = [end.train_loss for end in apart]
    assert [end.train_loss for end in together] == pytest.approx(losses, rel=0.02)
    assert losses != [
        Solo(r.model_copy(update={"precision": "float32"}), data, LUCK, s).train_epoch(1)[0].train_loss
        for r, s in zip(recipes, states, strict=True)
    ]
