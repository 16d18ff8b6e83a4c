"""What an exported model costs whoever runs it: time on one thread of ONNX Runtime, and space."""

import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from hpo.config import Config
from hpo.export.bundle import write_ensemble
from hpo.export.networks import Member
from hpo.training.bundles.card import ONNX, REFERENCE

NUM_RUNS = 200
NUM_WARM = 20
"""Runs before those that count: the first ones allocate."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Of one model, for batches of one size."""

    p50_ms: float
    """Half of all batches take no longer."""
    p95_ms: float
    megabytes: float
    """Of model.onnx, a million bytes each."""


class Limits(Config):
    """What a model may cost."""

    latency_ms: Annotated[float, Field(gt=0)] | None = None
    """For one example, on one thread, 95 times of 100; none: any."""
    megabytes: Annotated[float, Field(gt=0)] | None = None
    """Of model.onnx; none: any."""

    def allow(self, cost: Cost) -> bool:
        """Whether a model of this cost, for batches of one, is within them."""
        is_fast = self.latency_ms is None or cost.p95_ms <= self.latency_ms
        return is_fast and (self.megabytes is None or cost.megabytes <= self.megabytes)


def measure_cost(bundle: Path, batch_size: int = 1, num_runs: int = NUM_RUNS) -> Cost:
    """Let a bundle with ONNX in it predict batches of its reference inputs.

    Times are the wall clock's: a busy machine makes them longer, p95 above all.
    """
    from hpo.export.predict import open_model  # noqa: PLC0415 - who exports pt2 alone has no ONNX Runtime

    model = open_model(bundle, num_threads=1)
    with np.load(bundle / REFERENCE) as archive:
        x = np.resize(archive["x"], (batch_size, *model.card["input"]["shape"]))
    times_ms = []
    for _ in range(NUM_WARM + num_runs):
        started_ns = time.perf_counter_ns()
        model.predict(x, batch_size)
        times_ms.append((time.perf_counter_ns() - started_ns) / 1e6)
    p50_ms, p95_ms = np.quantile(times_ms[NUM_WARM:], [0.5, 0.95])
    return Cost(p50_ms=float(p50_ms), p95_ms=float(p95_ms), megabytes=(bundle / ONNX).stat().st_size / 1e6)


def costs(
    ensembles: Sequence[Sequence[Member]], *, input_shape: tuple[int, ...], num_classes: int, batch_size: int = 1
) -> Iterator[Cost]:
    """Of each of several ensembles, such as those on the way to a larger one; seconds each, for it is converted."""
    with tempfile.TemporaryDirectory() as folder:
        for members in ensembles:
            bundle = write_ensemble(
                Path(folder) / "bundle",
                members=members,
                temperature=1.0,
                input_shape=input_shape,
                num_classes=num_classes,
                card={},
            )
            yield measure_cost(bundle, batch_size)
