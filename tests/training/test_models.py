import pytest
import torch
from torch import nn

from hpo.training.models import Cnn, Mlp
from hpo.training.models.layers import Dropout


@pytest.mark.parametrize(
    "model", [Mlp(), Mlp(hidden=(8, 4), norm="batch", dropout=0.5), Cnn(), Cnn(norm="none", dropout=0.3)]
)
def test_a_model_maps_images_to_logits(model: Mlp | Cnn) -> None:
    module = model.build((3, 12, 12), num_classes=7)

    assert module(torch.zeros(5, 3, 12, 12)).shape == (5, 7)


def test_a_cnn_refuses_images_too_small_for_its_blocks() -> None:
    with pytest.raises(ValueError, match="cnn with 4 blocks needs images .* at least 16 x 16, but the data have shape"):
        Cnn(channels=(8, 8, 8, 8)).build((1, 8, 8), 10)


def test_pooling_before_norm_and_activation_changes_nothing_in_eval_for_positive_scales() -> None:
    conv, norm = nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4).eval()
    x = torch.randn(2, 1, 8, 8)

    ours = torch.relu(norm(torch.max_pool2d(conv(x), 2)))
    usual = torch.max_pool2d(torch.relu(norm(conv(x))), 2)

    torch.testing.assert_close(ours, usual)


def test_dropout_keeps_the_mean_and_drops_its_share() -> None:
    torch.manual_seed(0)

    y = Dropout(0.3)(torch.ones(200, 500))

    assert y.mean().item() == pytest.approx(1.0, abs=0.01)
    assert y.eq(0).float().mean().item() == pytest.approx(0.3, abs=0.01)


def test_dropout_is_the_identity_in_evaluation_and_at_rate_zero() -> None:
    x = torch.randn(10, 10)

    assert Dropout(0.9).eval()(x).equal(x)
    assert Dropout(0.0)(x).equal(x)


def test_dropout_rate_is_a_buffer_that_no_checkpoint_holds() -> None:
    dropout = Dropout(0.25)

    assert dict(dropout.named_buffers())["rate"].item() == 0.25
    assert dropout.state_dict() == {}
