"""Losses against torch's own, the papers' formulas and hand-worked numbers."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional

from hpo.training.losses import CrossEntropy, Distillation, Focal, weights_of_classes, with_teacher
from hpo.training.stacking import stack_numbers

GENERATOR = torch.Generator().manual_seed(0)
LOGITS = torch.randn(3, 8, 4, generator=GENERATOR, dtype=torch.float64)
CLASSES = torch.randint(4, (8,), generator=GENERATOR)
PROBABILITIES = torch.rand(8, 4, generator=GENERATOR, dtype=torch.float64).softmax(1)
TEACHER = Path("teacher")
WEIGHTS = torch.tensor([0.5, 1.0, 2.0, 4.0], dtype=torch.float64)


def of_lanes(
    losses: Sequence[CrossEntropy | Focal], targets: torch.Tensor, weights: torch.Tensor | None
) -> list[float]:
    found: list[float] = losses[0].per_lane(LOGITS, targets, stack_numbers(losses, LOGITS), weights).tolist()
    return found


@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("targets", [CLASSES, PROBABILITIES])
@pytest.mark.parametrize("smoothing", [(0.0, 0.0, 0.0), (0.1, 0.2, 0.5)])
def test_cross_entropy_equals_torchs(
    smoothing: Sequence[float], targets: torch.Tensor, weights: torch.Tensor | None
) -> None:
    losses = [CrossEntropy(label_smoothing=share) for share in smoothing]
    expected = [
        functional.cross_entropy(logits, targets, weights, label_smoothing=share).item()
        for logits, share in zip(LOGITS, smoothing, strict=True)
    ]

    alone = [loss(logits, targets, weights).item() for loss, logits in zip(losses, LOGITS, strict=True)]

    assert alone == pytest.approx(expected)
    assert of_lanes(losses, targets, weights) == pytest.approx(expected)


@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("targets", [CLASSES, PROBABILITIES])
def test_focal_loss_without_gamma_is_cross_entropy(targets: torch.Tensor, weights: torch.Tensor | None) -> None:
    expected = [functional.cross_entropy(logits, targets, weights).item() for logits in LOGITS]

    assert of_lanes([Focal(gamma=0.0)] * 3, targets, weights) == pytest.approx(expected)


def softened(logits: Sequence[float], temperature: float) -> list[float]:
    """Probabilities, without torch."""
    powers = [math.exp(logit / temperature) for logit in logits]
    return [power / sum(powers) for power in powers]


def distill_by_hand(logits: Sequence[float], teacher: Sequence[float], y: int, alpha: float, t: float) -> float:
    """The loss of one example, by the formula of Hinton et al. (2015)."""
    pairs = list(zip(softened(teacher, t), softened(logits, t), strict=True))
    divergence = sum(wanted * math.log(wanted / got) for wanted, got in pairs)
    return (1 - alpha) * -math.log(softened(logits, 1)[y]) + alpha * t**2 * divergence


def test_distillation_of_hand_worked_examples_alone_and_as_lanes() -> None:
    first, second = ([2.0, 0.0, -1.0], [1.0, 0.0, 3.0], 1), ([0.5, 0.5, 0.0], [0.0, -1.0, 0.5], 2)
    numbers = [(0.25, 2.0), (0.9, 4.0)]
    expected = [(distill_by_hand(*first, *pair) + distill_by_hand(*second, *pair)) / 2 for pair in numbers]
    losses = [Distillation(teacher=TEACHER, alpha=alpha, temperature=t) for alpha, t in numbers]
    logits, teachers, y = (torch.tensor(column) for column in zip(first, second, strict=True))
    targets = with_teacher(y, teachers.log_softmax(1))

    alone = [loss(logits, targets).item() for loss in losses]
    together = losses[0].per_lane(logits.expand(2, -1, -1), targets, stack_numbers(losses, logits))

    assert alone == pytest.approx(expected)
    assert together.tolist() == pytest.approx(expected)


def test_the_gradient_of_distillation_keeps_its_size_at_any_temperature() -> None:
    losses = [Distillation(teacher=TEACHER, alpha=0.7, temperature=t) for t in (1.0, 3.0, 8.0)]
    teacher = torch.randn(8, 4, generator=GENERATOR, dtype=torch.float64)
    targets = with_teacher(CLASSES, teacher.log_softmax(1))
    logits = LOGITS.clone().requires_grad_()

    alone = [torch.autograd.grad(loss(own, targets), own)[0] for loss, own in zip(losses, logits.unbind(), strict=True)]
    [together] = torch.autograd.grad(losses[0].per_lane(logits, targets, stack_numbers(losses, LOGITS)).sum(), logits)

    for lane, loss in enumerate(losses):
        t, own = loss.temperature, LOGITS[lane]
        of_classes = own.softmax(1) - functional.one_hot(CLASSES, 4)
        of_teacher = t * ((own / t).softmax(1) - (teacher / t).softmax(1))
        expected = (0.3 * of_classes + 0.7 * of_teacher) / 8
        torch.testing.assert_close(alone[lane], expected)
        torch.testing.assert_close(together[lane], expected)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_distillation_without_its_teacher_is_cross_entropy(smoothing: float) -> None:
    losses = [Distillation(teacher=TEACHER, alpha=0.0, label_smoothing=smoothing)] * 3
    targets = with_teacher(CLASSES, PROBABILITIES.log())
    expected = [functional.cross_entropy(logits, CLASSES, label_smoothing=smoothing).item() for logits in LOGITS]

    alone = [loss(logits, targets).item() for loss, logits in zip(losses, LOGITS, strict=True)]

    assert alone == pytest.approx(expected)
    assert losses[0].per_lane(LOGITS, targets, stack_numbers(losses, LOGITS)).tolist() == pytest.approx(expected)


def test_distillation_by_the_teacher_alone_is_torchs_divergence() -> None:
    loss = Distillation(teacher=TEACHER, alpha=1.0, temperature=1.0)
    expected = functional.kl_div(LOGITS[0].log_softmax(1), PROBABILITIES, reduction="batchmean")

    found = loss(LOGITS[0], with_teacher(CLASSES, PROBABILITIES.log()))

    assert found.item() == pytest.approx(expected.item())


def test_focal_loss_of_a_hand_worked_example() -> None:
    logits = torch.tensor([[0.9, 0.1], [0.25, 0.75]]).log()

    loss = Focal(gamma=2.0)(logits, torch.tensor([0, 0]))

    assert loss.item() == pytest.approx((0.1**2 * -math.log(0.9) + 0.75**2 * -math.log(0.25)) / 2)


def test_every_lane_has_its_own_gamma() -> None:
    losses = [Focal(gamma=gamma) for gamma in (0.0, 0.5, 3.0)]

    alone = [loss(logits, CLASSES).item() for loss, logits in zip(losses, LOGITS, strict=True)]

    assert of_lanes(losses, CLASSES, None) == pytest.approx(alone)


def test_a_certain_prediction_has_a_finite_focal_gradient() -> None:
    logits = torch.tensor([[1000.0, 0.0]], requires_grad=True)

    Focal(gamma=0.5)(logits, torch.tensor([0])).backward()

    assert logits.grad is not None
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("kind", [CrossEntropy, Focal])
def test_the_mean_entropy_of_predictions_is_subtracted(kind: type[CrossEntropy] | type[Focal]) -> None:
    entropies = [torch.distributions.Categorical(logits=logits).entropy().mean().item() for logits in LOGITS]
    plain = [kind()(logits, CLASSES).item() for logits in LOGITS]
    coefs = (0.1, 0.2, 0.3)
    losses = [kind(entropy_coef=coef) for coef in coefs]
    expected = [loss - coef * entropy for loss, coef, entropy in zip(plain, coefs, entropies, strict=True)]

    alone = [loss(logits, CLASSES).item() for loss, logits in zip(losses, LOGITS, strict=True)]

    assert alone == pytest.approx(expected)
    assert of_lanes(losses, CLASSES, None) == pytest.approx(expected)


def test_inverse_frequency_is_scikit_learns_balanced() -> None:
    y = torch.tensor([0] * 7 + [1] * 2 + [2])

    weights = weights_of_classes(CrossEntropy(class_weights="inverse_frequency"), y, LOGITS, num_classes=3)

    expected = compute_class_weight("balanced", classes=np.arange(3), y=y.numpy())
    assert weights is not None
    assert weights.tolist() == pytest.approx(expected.tolist())


def test_a_class_without_examples_has_a_finite_weight() -> None:
    weights = weights_of_classes(Focal(class_weights="inverse_frequency"), torch.tensor([0, 1]), LOGITS, num_classes=3)

    assert weights is not None
    assert weights.isfinite().all()


def test_classes_have_no_weights_unless_asked_for() -> None:
    assert weights_of_classes(CrossEntropy(), CLASSES, LOGITS, num_classes=4) is None
