"""What a teacher says of the training examples: computed once, on the driver, before any trial begins."""

import numpy as np
import numpy.typing as npt

from hpo.errors import BundleError
from hpo.training.bundles import load_bundle
from hpo.training.data.normalization import Inputs, Normalization
from hpo.training.data.splits import Splits
from hpo.training.losses import Distillation, Loss

LogProbs = npt.NDArray[np.float32]


def teacher_log_probs(loss: Loss, x: Inputs, normalization: Normalization) -> LogProbs | None:
    """The log-probabilities [n, C] of the loss's teacher; none where it has no teacher.

    Args:
        loss: a trial's.
        x: training examples [n, ...], as `normalization` made them; the teacher sees them as they came.
        normalization: of the sweep's data; a teacher has its own.

    Raises:
        BundleError: if the teacher cannot be read, or gives what is not finite.
        DataError: if the examples as they came cannot be had back.
    """
    if not isinstance(loss, Distillation):
        return None
    log_probs = load_bundle(loss.teacher).predict(normalization.undone(x))
    if not np.isfinite(log_probs).all():
        raise BundleError(
            f"{loss.teacher}: a teacher must give finite log-probabilities for all training examples, but gives "
            f"{np.count_nonzero(~np.isfinite(log_probs))} that are not. Use another."
        )
    return log_probs


def refuse_teacher(loss: Loss, splits: Splits) -> None:
    """Hold the teacher of a loss, if it has one, against the data.

    Raises:
        BundleError: if it cannot be read, or is for other inputs or classes.
        DataError: if the examples as they came, which it takes, cannot be had back.
    """
    if not isinstance(loss, Distillation):
        return
    card = load_bundle(loss.teacher).card
    ours, theirs = (splits.raw_shape, splits.num_classes), (card.input.shape, card.output.num_classes)
    if ours != theirs:
        raise BundleError(
            f"{loss.teacher}: must take inputs {list(ours[0])} and know {ours[1]} classes, as the data have, but takes "
            f"{list(theirs[0])} and knows {theirs[1]}. Use a teacher that was trained on such data."
        )
    splits.normalization.undone(splits.train.x[:1])
