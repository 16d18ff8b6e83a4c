"""What trials train on and are measured by: tensors, resident on the trial's device."""

import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from hpo.training.data.splits import Examples


@dataclass(frozen=True, kw_only=True)
class TrainingData:
    """Normalised training and validation examples; the test split is not here, and never on a worker."""

    train_x: torch.Tensor
    """[n, ...] float32."""
    train_y: torch.Tensor
    """[n] int64."""
    validation_x: torch.Tensor
    validation_y: torch.Tensor
    num_classes: int
    teacher: torch.Tensor | None = None
    """Log-probabilities [n, C] of the training examples, where there is a teacher."""

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Of one example."""
        return tuple(self.train_x.shape[1:])


def as_tensors(
    train: Examples,
    validation: Examples,
    num_classes: int,
    device: torch.device,
    teacher: npt.NDArray[np.float32] | None = None,
) -> TrainingData:
    """Share the arrays' memory on a CPU; copy it once to any other device."""
    return TrainingData(
        train_x=_as_tensor(train.x, device),
        train_y=_as_tensor(train.y, device),
        validation_x=_as_tensor(validation.x, device),
        validation_y=_as_tensor(validation.y, device),
        num_classes=num_classes,
        teacher=None if teacher is None else _as_tensor(teacher, device),
    )


def _as_tensor(array: np.ndarray, device: torch.device) -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")  # shared memory; we only read
        return torch.from_numpy(array).to(device)
