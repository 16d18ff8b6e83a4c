"""Good networks pass; each deliberate mistake is caught by the check that is for it."""

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional

from hpo.training.augmentations import Augment
from hpo.training.data import Digits, Splits
from hpo.training.diagnostics.one_batch import fit_one_batch
from hpo.training.diagnostics.preflight import Check, preflight
from hpo.training.initializers import Normal
from hpo.training.losses import CrossEntropy
from hpo.training.models import Cnn, Custom, Mlp
from hpo.training.optimizers import AdamW, Sgd
from hpo.training.recipe import Recipe
from hpo.training.regularizers import Regularizer

NETS = """
import torch
from torch import nn
from torch.nn import functional


class Net(nn.Module):
    def __init__(self, input_shape, num_classes, mistake):
        super().__init__()
        self.mistake = mistake
        self.first, self.second = nn.Linear(64, 32), nn.Linear(32, 32)
        self.last = nn.Linear(32, num_classes)

    def forward(self, x):
        x = functional.relu(self.first(x.flatten(1)))
        if self.mistake == "detached":
            x = x.detach()
        x = functional.relu(self.second(x) - (1e6 if self.mistake == "dead" else 0))
        if self.mistake == "half-sized":
            x = Halved.apply(x)
        if self.mistake == "float32":
            x = x @ torch.eye(32)
        return self.last(x * 0 if self.mistake == "blind" else x)


class Halved(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 1

    @staticmethod
    def backward(ctx, grad):
        return grad / 2


def make(input_shape, num_classes, mistake):
    return Net(input_shape, num_classes, mistake)
"""


@pytest.fixture(scope="module")
def splits() -> Splits:
    return Digits().load(0)


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "preflight_nets.py").write_text(NETS)
    monkeypatch.syspath_prepend(tmp_path)
    return "preflight_nets:make"


def checked(recipe: Recipe, splits: Splits) -> dict[str, Check]:
    return {check.name: check for check in preflight(recipe, splits, seed=0)}


def failed(checks: dict[str, Check]) -> set[str]:
    return {name for name, check in checks.items() if check.verdict == "failed"}


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(model=Mlp(hidden=(32, 32), dropout=0.5, norm="batch"), optimizer=Sgd(lr=0.05, weight_decay=0.5)),
        Recipe(model=Cnn(channels=(8,), hidden=16, dropout=0.5), optimizer=AdamW(lr=0.003)),
        Recipe(model=Mlp(hidden=(32,), activation="tanh"), precision="bfloat16", regularizer=Regularizer(max_norm=0.1)),
        Recipe(model=Mlp(hidden=(32,)), loss=CrossEntropy(label_smoothing=0.3), augmentation=Augment(mix="mixup")),
    ],
    ids=["mlp", "cnn", "bfloat16", "mixup"],
)
def test_a_good_recipe_passes(splits: Splits, recipe: Recipe) -> None:
    checks = checked(recipe, splits)

    assert failed(checks) == set()
    assert {"gradient check", "constant units", "loss at the start", "one batch by heart", "training speed"} <= set(
        checks
    )
    assert checks["training speed"].value is not None
    assert all((check.verdict == "passed") == (check.remedy == "") for check in checks.values())


@pytest.mark.parametrize("mistake", ["detached", "half-sized"])
def test_a_gradient_that_was_detached_by_mistake_is_caught(splits: Splits, own: str, mistake: str) -> None:
    sound, broken = (
        checked(Recipe(model=Custom(factory=own, arguments={"mistake": name}), optimizer=Sgd(lr=0.01)), splits)
        for name in ("none", mistake)
    )

    assert failed(sound) == set()
    assert failed(broken) == {"gradient check"}
    assert broken["gradient check"].value == pytest.approx(1.0 if mistake == "detached" else 0.5, abs=0.01)
    assert "learns by another slope than the loss has" in broken["gradient check"].remedy


def test_a_network_that_knows_only_float32_is_told_so(splits: Splits, own: str) -> None:
    check = checked(Recipe(model=Custom(factory=own, arguments={"mistake": "float32"})), splits)["gradient check"]

    assert check.verdict == "failed"
    assert check.remedy.startswith("The network must also run in float64.")


def test_weights_that_saturate_are_caught(splits: Splits) -> None:
    recipe = Recipe(model=Mlp(hidden=(32,), activation="tanh"), initializer=Normal(std=5.0))

    check = checked(recipe, splits)["saturated units"]

    assert check.verdict == "failed"
    assert check.value is not None
    assert check.value > 0.5
    assert check.expected == "at most 0.2"


def test_units_that_a_bias_has_killed_are_caught(splits: Splits, own: str) -> None:
    checks = checked(Recipe(model=Custom(factory=own, arguments={"mistake": "dead"})), splits)

    assert {"dead units", "one batch by heart"} <= failed(checks)
    assert checks["dead units"].value == 1.0
    assert checks["zeros in gradients"].verdict == "doubtful"


def test_a_network_that_does_not_look_at_its_inputs_cannot_learn_one_batch(splits: Splits, own: str) -> None:
    checks = checked(Recipe(model=Custom(factory=own, arguments={"mistake": "blind"})), splits)

    assert failed(checks) == {"one batch by heart"}
    assert "accuracy 1 within 200 steps" in checks["one batch by heart"].expected


def test_one_batch_is_learned_as_by_a_plain_loop() -> None:
    torch.manual_seed(0)
    x, y = torch.randn(20, 6), torch.arange(20) % 3
    ours = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Dropout(0.5), nn.Linear(32, 3))
    plain = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Identity(), nn.Linear(32, 3))
    plain.load_state_dict(ours.state_dict())
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.2, momentum=0.9)
    num_steps, loss, is_right = 0, 1.0, False
    while loss >= 0.01 or not is_right:
        num_steps += 1
        optimizer.zero_grad()
        functional.cross_entropy(plain(x), y).backward()
        optimizer.step()
        loss, is_right = functional.cross_entropy(plain(x), y).item(), bool((plain(x).argmax(1) == y).all())

    fit = fit_one_batch(
        Recipe(model=Mlp(), optimizer=Sgd(lr=9.0, nesterov=False, weight_decay=0.5)), ours, x, y, rate=0.2
    )

    assert fit.is_learned
    assert (fit.num_steps, fit.accuracy) == (num_steps, 1.0)
    assert fit.loss == pytest.approx(loss, rel=1e-3)


def test_preflight_leaves_torchs_generator(splits: Splits) -> None:
    before = torch.get_rng_state()

    preflight(Recipe(model=Mlp(hidden=(8,), dropout=0.5), epochs=2), splits, seed=0)

    assert torch.equal(torch.get_rng_state(), before)
