"""Changes to training inputs, batchwise: `augmentation.apply(x, epoch, indices)` and `augmentation.mixed(x, y)`.

Draws come from torch's global generator, which the training step seeds: one draw serves all lanes.
"""

from hpo.training.augmentations.augment import Augment
from hpo.training.augmentations.mixing import Mixed

__all__ = ["Augment", "Mixed"]
