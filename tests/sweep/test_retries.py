from pathlib import Path

import pytest

from hpo.errors import SweepError
from hpo.sweep import Sweep, load_sweep

SWEEP = """\
data: {kind: digits}
model: {kind: mlp}
metric: {name: val_accuracy, goal: maximize}
space: {optimizer.lr: "loguniform(1e-4, 1)"}
"""


def load(folder: Path, *settings: str) -> Sweep:
    path = folder / "sweep.yaml"
    path.write_text(SWEEP)
    return load_sweep(path, settings)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("30m", 1800), ("1.5h", 5400), ("2 d", 172800), ("null", None)]
)
def test_a_duration_is_seconds_or_a_number_with_a_unit(tmp_path: Path, text: str, seconds: float | None) -> None:
    sweep = load(tmp_path, f"retries.trial_timeout={text}")

    assert sweep.retries.trial_timeout == seconds


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["retries.trial_timeout=soon"], "must be seconds, or a number with a unit such as 90s, 30m, 2h or 1d, but"),
        (["retries.segment_timeout=0s"], "retries.segment_timeout: .*0"),
        (["retries.worker_lost=-1"], "retries.worker_lost"),
        (
            ["retries.trial_timeout=1m", "retries.segment_timeout=60"],
            "segment_timeout must be less than trial_timeout, 60 s, but is 60 s, so it has no effect. Lower it",
        ),
        (["resources.autoscaling=true"], "max_concurrent must be a number where autoscaling is true"),
    ],
)
def test_limits_that_cannot_be_are_refused(tmp_path: Path, settings: list[str], message: str) -> None:
    with pytest.raises(SweepError, match=message):
        load(tmp_path, *settings)


def test_a_loss_of_workers_without_end_may_be_allowed(tmp_path: Path) -> None:
    sweep = load(tmp_path, "retries.worker_lost=unlimited")

    assert sweep.retries.worker_lost == "unlimited"
