"""Learning curves of LCBench, from the surrogate of YAHPO Gym, evaluated by numpy alone.

LCBench (Zimmer, Lindauer & Hutter 2021) trained 2000 nets on each of many tabular tasks for 52 epochs. YAHPO Gym
(Pfisterer et al. 2022) fitted one residual network to all curves, with an embedding for each task.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from hpo.config import Config
from hpo.errors import DataError
from hpo.records import Curve, Params, ParamValue
from hpo.training.data.npz import read_npz

NUM_EPOCHS = 52
NAMES = ("batch_size", "learning_rate", "momentum", "weight_decay", "num_layers", "max_units", "max_dropout")
WHOLE = frozenset({"batch_size", "num_layers", "max_units"})
"""Params that are rounded to whole numbers."""
NUM_BLOCKS = 3
ACCURACY, CROSS_ENTROPY = 1, 2
"""Outputs: the accuracy on the validation split in percent, and the cross-entropy there."""

EMBEDDING = "W/embds_fct.0.weight"
BATCH_NORM_EPS = 1e-5

_Array = NDArray[Any]


class Lcbench(Config):
    """The surrogate of YAHPO Gym: `val_accuracy` (a share) and `val_loss` of a net of up to five layers."""

    kind: Literal["lcbench"] = "lcbench"
    path: Annotated[Path, Field(strict=False)]
    """An `.npz` of the surrogate's weights: task_ids, task_code, cols, outs and W/..."""
    task: int
    """OpenML's id of the task."""

    def load(self, metric: str) -> "LcbenchCurves":
        """Read the weights; both metrics are there.

        Raises:
            DataError: if there is no such file, or it does not hold the task.
        """
        arrays = read_npz(self.path)
        missing = {"task_ids", "task_code", "cols", "outs", EMBEDDING} - arrays.keys()
        if missing:
            raise DataError(f"{self.path}: must hold the surrogate's arrays, but has no {', '.join(sorted(missing))}.")
        codes = dict(zip(arrays["task_ids"].tolist(), arrays["task_code"].tolist(), strict=True))
        if self.task not in codes:
            known = ", ".join(map(str, codes))
            raise DataError(f"{self.path}: task must be one of {known}, but got {self.task}. Choose one of these.")
        return LcbenchCurves(arrays, codes[self.task])


class LcbenchCurves:
    """The curves of one task."""

    names = NAMES
    num_epochs = NUM_EPOCHS

    def __init__(self, arrays: Mapping[str, NDArray[Any]], code: int) -> None:
        """Take the surrogate's `arrays`, and the row of the task's embedding there."""
        self._arrays = arrays
        self._embedding = np.tile(arrays[EMBEDDING][code], (NUM_EPOCHS, 1))

    def curve(self, params: Params) -> Curve:
        """See `Curves.curve`."""
        values = [_as_number(name, params[name]) for name in NAMES]
        rows = np.column_stack([np.arange(1, NUM_EPOCHS + 1), np.tile(values, (NUM_EPOCHS, 1))])
        outputs = self._outputs(self._network(self._features(rows)))
        return [{"val_accuracy": float(row[ACCURACY]) / 100, "val_loss": float(row[CROSS_ENTROPY])} for row in outputs]

    def _features(self, rows: _Array) -> _Array:
        """Inputs [epochs, columns], some as logarithms, each less its offset and by its scale."""
        features = []
        for index, is_log, shift, offset, scale in self._arrays["cols"]:
            column = rows[:, int(index)]
            features.append(((np.log(column + shift) if is_log else column) - offset) / scale)
        return np.column_stack(features).astype(np.float32)

    def _network(self, features: _Array) -> _Array:
        """Residual blocks of gated linear units, each after a batch norm; then shares [epochs, outputs]."""
        x = self._linear("first_layer", np.hstack([self._embedding, features]))
        for block in range(NUM_BLOCKS):
            hidden = self._linear(f"layers.{block}.linear0", self._norm(f"layers.{block}.norm", x))
            value, gate = np.split(hidden, 2, axis=1)
            x = x + self._linear(f"layers.{block}.linear1", value * np.maximum(gate, 0))
        logits = self._linear("head", np.maximum(self._norm("last_normalization", x), 0)).astype(np.float64)
        return 1 / (1 + np.exp(-logits))

    def _outputs(self, shares: _Array) -> _Array:
        """Shares as metrics [epochs, outputs]: over their ranges, of which some are those of logarithms."""
        metrics = []
        for index, scale, offset, is_log, shift in self._arrays["outs"]:
            value = shares[:, int(index)] * scale + offset
            metrics.append(np.exp(value) - shift if is_log else value)
        return np.column_stack(metrics)

    def _linear(self, name: str, x: _Array) -> _Array:
        outputs: _Array = x @ self._arrays[f"W/{name}.weight"].T + self._arrays[f"W/{name}.bias"]
        return outputs

    def _norm(self, name: str, x: _Array) -> _Array:
        """A batch norm that has been trained."""
        weight, bias, mean, var = (
            self._arrays[f"W/{name}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")
        )
        outputs: _Array = (x - mean) / np.sqrt(var + BATCH_NORM_EPS) * weight + bias
        return outputs


def _as_number(name: str, value: ParamValue) -> float:
    assert not isinstance(value, tuple)
    return round(float(value)) if name in WHOLE else float(value)
