"""Initial weights from a bundle."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from hpo.export import write_bundle
from hpo.training.data.normalization import Normalization
from hpo.training.examples import TrainingData
from hpo.training.initializers import Initializer, KaimingNormal, Pretrained
from hpo.training.models import Cnn, Mlp, Model
from hpo.training.program import initial_module
from hpo.training.recipe import Recipe, signature
from hpo.training.seeds import make_generator

SHAPE = (1, 8, 8)
PLAIN = Normalization(mean=np.zeros((1, 1, 1), np.float32), std=np.ones((1, 1, 1), np.float32))
TRAINED = Mlp(hidden=(16, 8), norm="batch", dropout=0.2)
HEAD = {"9.weight", "9.bias"}


def make_bundle(folder: Path, model: Model, num_classes: int) -> tuple[Path, dict[str, torch.Tensor]]:
    """A bundle of a network with running statistics, and the network's tensors."""
    torch.manual_seed(0)
    module = model.build(SHAPE, num_classes)
    module(torch.randn(32, *SHAPE))
    write_bundle(folder, module=module, normalization=PLAIN, input_shape=SHAPE, num_classes=num_classes, card={})
    return folder, dict(module.state_dict())


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, torch.Tensor]]:
    return make_bundle(tmp_path_factory.mktemp("bundles") / "mlp", TRAINED, num_classes=4)


def start(initializer: Initializer, model: Model = TRAINED, num_classes: int = 4, trial_id: int = 0) -> nn.Module:
    x, y = torch.randn(20, *SHAPE, generator=make_generator(1)), torch.arange(20) % num_classes
    data = TrainingData(train_x=x, train_y=y, validation_x=x, validation_y=y, num_classes=num_classes)
    return initial_module(Recipe(model=model, initializer=initializer), data, 0, trial_id)


def taken(module: nn.Module, weights: dict[str, torch.Tensor]) -> set[str]:
    return {name for name, value in module.state_dict().items() if torch.equal(value, weights[name])}


def test_every_tensor_of_the_bundle_is_taken_running_statistics_too(
    trained: tuple[Path, dict[str, torch.Tensor]],
) -> None:
    bundle, weights = trained

    module = start(Pretrained(bundle=bundle))

    assert taken(module, weights) == weights.keys()
    assert not weights["2.running_mean"].equal(torch.zeros(16))


def test_a_head_for_other_classes_is_drawn_for_each_trial(trained: tuple[Path, dict[str, torch.Tensor]]) -> None:
    bundle, weights = trained

    first, second = (start(Pretrained(bundle=bundle), num_classes=64, trial_id=trial_id) for trial_id in (0, 1))

    assert taken(first, weights) == weights.keys() - HEAD
    head = first.get_parameter("9.weight")
    assert head.std().item() == pytest.approx((2 / 8) ** 0.5, rel=0.1)
    assert not head.equal(second.get_parameter("9.weight"))
    assert first.get_parameter("9.bias").count_nonzero() == 0


def test_a_new_head_is_drawn_though_the_bundles_would_fit(trained: tuple[Path, dict[str, torch.Tensor]]) -> None:
    bundle, weights = trained

    module = start(Pretrained(bundle=bundle, head="new", output_bias="log_prior"))

    assert taken(module, weights) == weights.keys() - HEAD
    assert module.get_parameter("9.bias").tolist() == pytest.approx([np.log(0.25)] * 4)


def test_a_network_with_other_dropout_is_the_same_network(trained: tuple[Path, dict[str, torch.Tensor]]) -> None:
    bundle, weights = trained

    module = start(Pretrained(bundle=bundle), Mlp(hidden=(16, 8), norm="batch", input_dropout=0.1))

    values = zip(module.state_dict().values(), weights.values(), strict=True)
    assert all(own.equal(theirs) for own, theirs in values)


def test_a_convolutional_body_is_taken_under_a_head_for_other_classes(tmp_path: Path) -> None:
    model = Cnn(channels=(4,), hidden=8, norm="batch")
    bundle, weights = make_bundle(tmp_path / "cnn", model, num_classes=4)

    module = start(Pretrained(bundle=bundle), model, num_classes=3)

    assert taken(module, weights) == weights.keys() - {"7.weight", "7.bias"}


@pytest.mark.parametrize(
    ("model", "complaint"),
    [
        (
            Mlp(hidden=(16, 9), norm="batch"),
            (
                "but 4.weight is [8, 16] there and [9, 16] here, 5.weight is [8] there and [9] here, "
                "5.bias is [8] there and [9] here, 5.running_mean is [8] there and [9] here, and 1 more do not fit. "
                "It must hold the same network, for inputs of the same size, with no norms folded: see its card.json."
            ),
        ),
        (
            Mlp(hidden=(16,), norm="batch"),
            "but 4.bias is missing there and [4] here, 6.weight is [8] there and missing",
        ),
        (Mlp(hidden=(16, 8, 4), norm="batch"), "but 8.weight is missing there and [4] here, 8.bias is missing there"),
        (Mlp(hidden=(16, 8)), "but 1.bias is missing there and [16] here, 3.weight is [16] there and [8, 16] here"),
    ],
    ids=["width", "shallower", "deeper", "no norm"],
)
def test_tensors_that_do_not_fit_are_named(
    model: Model, complaint: str, trained: tuple[Path, dict[str, torch.Tensor]]
) -> None:
    bundle, _ = trained

    with pytest.raises(ValueError, match="initializer.bundle: all tensors of .* but the head's must fit") as caught:
        start(Pretrained(bundle=bundle), model)

    assert complaint in str(caught.value)


def test_a_bias_that_would_overwrite_the_kept_head_is_refused() -> None:
    with pytest.raises(
        ValueError,
        match="output_bias: log_prior overwrites the bias of a head that is kept. Delete it, or set head: new.",
    ):
        Pretrained(bundle=Path("best"), output_bias="log_prior")


def test_a_bundle_whose_head_would_become_a_hidden_layer_is_refused(tmp_path: Path) -> None:
    bundle, _ = make_bundle(tmp_path / "mlp", Mlp(hidden=(16, 8)), num_classes=4)

    with pytest.raises(ValueError, match=r"but 7.weight is missing there and \[4, 4\] here, 7.bias is missing there"):
        start(Pretrained(bundle=bundle), Mlp(hidden=(16, 8, 4)))


def test_trials_from_a_bundle_share_a_program_with_others() -> None:
    initializers: list[Initializer] = [Pretrained(bundle=Path("best")), KaimingNormal()]

    pretrained, drawn = (signature(Recipe(model=TRAINED, initializer=initializer)) for initializer in initializers)

    assert pretrained == drawn
