"""What this process runs on."""

import platform
from collections.abc import Mapping
from importlib import metadata

LIBRARIES = ("hpo", "torch", "ray", "optuna", "mlflow")


def versions() -> Mapping[str, str]:
    """Of Python, hpo and what it stands on."""
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in LIBRARIES}}
