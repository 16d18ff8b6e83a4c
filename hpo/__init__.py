"""Hyperparameter sweeps for PyTorch: `run_sweep(load_sweep(Path("sweep.yaml")))`.

The names below are the public ones. Each is imported when it is first asked for, so that `hpo.errors` alone is cheap.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hpo.errors import HpoError
    from hpo.export import load_bundle
    from hpo.outcome import SweepResult
    from hpo.programs.trial import Trial
    from hpo.run import run_sweep
    from hpo.sweep import OwnSweep, Sweep, load_any, load_sweep

__all__ = [
    "HpoError",
    "OwnSweep",
    "Sweep",
    "SweepResult",
    "Trial",
    "load_any",
    "load_bundle",
    "load_sweep",
    "run_sweep",
]

_HOMES = {
    "HpoError": "hpo.errors",
    "OwnSweep": "hpo.sweep",
    "Sweep": "hpo.sweep",
    "SweepResult": "hpo.outcome",
    "Trial": "hpo.programs.trial",
    "load_any": "hpo.sweep",
    "load_bundle": "hpo.export",
    "load_sweep": "hpo.sweep",
    "run_sweep": "hpo.run",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'hpo' has no attribute {name!r}; it has {', '.join(__all__)}.")
    return getattr(import_module(_HOMES[name]), name)
