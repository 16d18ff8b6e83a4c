import subprocess
import sys

import pytest

import hpo


@pytest.mark.parametrize("name", ["HpoError", "OwnSweep", "Sweep", "Trial", "load_any", "load_sweep", "run_sweep"])
def test_a_public_name_is_there(name: str) -> None:
    assert name in hpo.__all__
    assert getattr(hpo, name).__name__ == name


def test_another_name_is_not() -> None:
    with pytest.raises(AttributeError, match="module 'hpo' has no attribute 'sweeps'; it has HpoError, OwnSweep"):
        hpo.sweeps  # noqa: B018


def test_importing_hpo_imports_nothing_heavy() -> None:
    code = "import sys, hpo.errors; print({'torch', 'ray', 'optuna', 'mlflow', 'pandas'} & sys.modules.keys())"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "set()\n"
