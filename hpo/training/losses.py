"""Losses: `loss(logits [B, C], targets) -> scalar`, and the same for lanes.

Targets are classes [B] or, where examples are mixed, probabilities [B, C], as for torch's cross-entropy; those of
distillation are made by `with_teacher`. Class weights [C] enter as torch's do: their mean is weighted where targets are
classes, and plain where they are probabilities.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch.nn import functional

from hpo.config import PER_LANE, PER_LANE_UNLESS_0, Config

ClassWeights = Literal["none", "inverse_frequency"]
EntropyCoef = Annotated[float, PER_LANE_UNLESS_0, Field(ge=0)]
Numbers = Mapping[str, torch.Tensor]


class CrossEntropy(Config):
    """Mean cross-entropy, in nats, with optional label smoothing (Szegedy et al. 2016)."""

    kind: Literal["cross_entropy"] = "cross_entropy"
    label_smoothing: Annotated[float, PER_LANE_UNLESS_0, Field(ge=0, lt=1)] = 0.0
    """Probability mass spread evenly over all classes. Validation loss is never smoothed."""
    class_weights: ClassWeights = "none"
    """inverse_frequency: all classes together count the same, however rare. Validation is never weighted."""
    entropy_coef: EntropyCoef = 0.0
    """Times the mean entropy of the predictions, which is subtracted (Pereyra et al. 2017)."""

    def __call__(
        self, logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor | None = None
    ) -> torch.Tensor:
        loss = functional.cross_entropy(logits, targets, weights, label_smoothing=self.label_smoothing)
        return loss if self.entropy_coef == 0 else loss - self.entropy_coef * _entropy(logits.log_softmax(-1))

    def per_lane(
        self, logits: torch.Tensor, targets: torch.Tensor, hyper: Numbers, weights: torch.Tensor | None = None
    ) -> torch.Tensor:
        """logits [L, B, C], targets, numbers of lanes [L] by field, class weights -> loss of each lane [L]."""
        if not hyper and weights is None and not targets.is_floating_point():
            wanted = targets.expand(len(logits), -1)  # the usual case, by torch's fused kernel
            return (
                functional.cross_entropy(logits.flatten(0, 1), wanted.flatten(), reduction="none")
                .view_as(wanted)
                .mean(1)
            )
        log_probs = logits.log_softmax(2)
        weighted = log_probs if weights is None else log_probs * weights
        loss = -_mean(weighted, targets, weights)
        if "label_smoothing" in hyper:
            spread = weighted.mean((1, 2)) * (len(targets) / _total(targets, weights))
            loss = loss - hyper["label_smoothing"] * (spread + loss)
        return loss - hyper["entropy_coef"] * _entropy(log_probs) if "entropy_coef" in hyper else loss


class Focal(Config):
    """Cross-entropy of which well-classified examples take little: (1 - p)^gamma of it (Lin et al. 2017)."""

    kind: Literal["focal"] = "focal"
    gamma: Annotated[float, PER_LANE, Field(ge=0)] = 2.0
    """0 is cross-entropy."""
    class_weights: ClassWeights = "none"
    """inverse_frequency: all classes together count the same, however rare. Validation is never weighted."""
    entropy_coef: EntropyCoef = 0.0
    """Times the mean entropy of the predictions, which is subtracted (Pereyra et al. 2017)."""

    def __call__(
        self, logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor | None = None
    ) -> torch.Tensor:
        hyper = {"gamma": logits.new_tensor([self.gamma])}
        if self.entropy_coef > 0:
            hyper["entropy_coef"] = logits.new_tensor([self.entropy_coef])
        return self.per_lane(logits.unsqueeze(0), targets, hyper, weights).squeeze(0)

    def per_lane(
        self, logits: torch.Tensor, targets: torch.Tensor, hyper: Numbers, weights: torch.Tensor | None = None
    ) -> torch.Tensor:
        """See `CrossEntropy.per_lane`."""
        log_probs = logits.log_softmax(2)
        missing = (-log_probs.expm1()).clamp(min=torch.finfo(logits.dtype).tiny)  # whose power 0 has no slope
        costs = log_probs * missing ** hyper["gamma"].view(-1, 1, 1)
        loss = -_mean(costs if weights is None else costs * weights, targets, weights)
        return loss - hyper["entropy_coef"] * _entropy(log_probs) if "entropy_coef" in hyper else loss


class Distillation(Config):
    """Part cross-entropy with the classes, part divergence from a teacher's predictions (Hinton et al. 2015).

    (1 - alpha) * cross-entropy + alpha * T^2 * KL(teacher || student), the latter of probabilities at temperature T:
    logits are divided by it or, what comes to the same, log-probabilities. T^2 keeps the size of that gradient. The
    teacher has seen every example once, as it came: of an augmented one it says what it said of the original.
    """

    kind: Literal["distillation"] = "distillation"
    teacher: Annotated[Path, Field(strict=False)]
    """Folder of an exported model, of one network or of several; relative to the sweep file."""
    alpha: Annotated[float, PER_LANE, Field(ge=0, le=1)] = 0.9
    """The teacher's part; at 1 the classes are not looked at."""
    temperature: Annotated[float, PER_LANE, Field(gt=0)] = 4.0
    """The higher, the more counts what the teacher thinks of the unlikely classes."""
    label_smoothing: Annotated[float, PER_LANE_UNLESS_0, Field(ge=0, lt=1)] = 0.0
    """Probability mass of the classes' part spread evenly. Validation loss is never smoothed, and has no teacher."""

    def __call__(
        self, logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor | None = None
    ) -> torch.Tensor:
        own, teachers = targets.unbind(1)
        classes = functional.cross_entropy(logits, own, label_smoothing=self.label_smoothing)
        student = (logits.log_softmax(1) / self.temperature).log_softmax(1)
        teacher = (teachers / self.temperature).log_softmax(1)
        divergence = functional.kl_div(student, teacher, reduction="batchmean", log_target=True)
        return (1 - self.alpha) * classes + self.alpha * self.temperature**2 * divergence

    def per_lane(
        self, logits: torch.Tensor, targets: torch.Tensor, hyper: Numbers, weights: torch.Tensor | None = None
    ) -> torch.Tensor:
        """See `CrossEntropy.per_lane`."""
        own, teachers = targets.unbind(1)
        log_probs = logits.log_softmax(2)
        classes = -_mean(log_probs, own, None)
        if "label_smoothing" in hyper:
            classes = classes - hyper["label_smoothing"] * (log_probs.mean((1, 2)) + classes)
        temperature = hyper["temperature"].view(-1, 1, 1)
        student, teacher = ((log / temperature).log_softmax(2) for log in (log_probs, teachers))
        divergence = (teacher.exp() * (teacher - student)).sum(2).mean(1)
        return (1 - hyper["alpha"]) * classes + hyper["alpha"] * hyper["temperature"] ** 2 * divergence


Loss = Annotated[CrossEntropy | Focal | Distillation, Field(discriminator="kind")]


def loss_of_part(
    loss: Loss, logits: torch.Tensor, part: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor | None
) -> torch.Tensor:
    """What a part of a batch brings to its loss: those of all parts add up to it, and so do their gradients.

    An empty one brings nothing.

    Args:
        loss: of the batch.
        logits: of the part [b, C].
        part: its targets.
        targets: of the batch.
        weights: class weights, if any.
    """
    if len(part) == 0:
        return logits.sum()
    share = _total(part, weights) / _total(targets, weights)
    if weights is not None and not isinstance(loss, Distillation):  # the mean entropy is not weighted
        coef = loss.entropy_coef * (len(part) / len(targets)) / float(share)
        loss = loss.model_copy(update={"entropy_coef": coef})
    return loss(logits, part, weights) * share


def with_teacher(y: torch.Tensor, log_probs: torch.Tensor) -> torch.Tensor:
    """Targets of distillation [B, 2, C]: classes y [B] as probabilities, and a teacher's log-probabilities [B, C]."""
    return torch.stack([functional.one_hot(y, log_probs.shape[1]).to(log_probs), log_probs], 1)


def weights_of_classes(loss: Loss, y: torch.Tensor, like: torch.Tensor, num_classes: int) -> torch.Tensor | None:
    """The class weights [C] that a loss asks for, of `like`'s type; none where all weigh 1.

    Args:
        loss: whose `class_weights` decide.
        y: the training classes [n]. n / (C * count), so that the mean weight of an example is 1.
        like: a tensor of the type and device wanted.
        num_classes: C.
    """
    if isinstance(loss, Distillation) or loss.class_weights == "none":
        return None
    counts = y.bincount(minlength=num_classes).clamp(min=1).to(like)
    return len(y) / (num_classes * counts)


def _mean(values: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor | None) -> torch.Tensor:
    """Of what `values` [L, B, C] hold for the targets, over the batch [L]."""
    if targets.is_floating_point():
        return (values * targets).sum(2).mean(1)
    of_targets = values.gather(2, targets.expand(len(values), -1).unsqueeze(2)).squeeze(2)
    return of_targets.mean(1) if weights is None else of_targets.sum(1) / weights[targets].sum()


def _total(targets: torch.Tensor, weights: torch.Tensor | None) -> torch.Tensor | int:
    """What a sum over the batch is divided by for its mean."""
    return len(targets) if weights is None or targets.is_floating_point() else weights[targets].sum()


def _entropy(log_probs: torch.Tensor) -> torch.Tensor:
    """Mean entropy of predictions [..., B, C], in nats [...]."""
    return -(log_probs.exp() * log_probs).sum(-1).mean(-1)
