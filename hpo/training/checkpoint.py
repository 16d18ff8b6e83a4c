"""Checkpoints: one safetensors file per trial and rung. Nothing is pickled."""

from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from hpo.errors import HpoError
from hpo.paths import written_beside
from hpo.training.state import Tensors, TrialState

MODULE, OPTIMIZER, AVERAGED = "module.", "optimizer.", "averaged."


def write_checkpoint(path: Path, state: TrialState) -> None:
    """Write `state` so that a reader sees all of it or nothing."""
    named = {MODULE + name: value for name, value in state.module.items()}
    named |= {OPTIMIZER + name: value for name, value in state.optimizer.items()}
    named |= {AVERAGED + name: value for name, value in state.averaged.items()}
    with written_beside(path) as beside:
        save_file({name: value.contiguous() for name, value in named.items()}, beside, {"epoch": str(state.epoch)})


def read_checkpoint(path: Path) -> TrialState:
    """What `write_checkpoint` wrote.

    Raises:
        HpoError: if the file is missing or damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            epoch = int(file.metadata()["epoch"])
            named = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise HpoError(f"{path}: must be a checkpoint that a trial wrote, but {error}.") from error
    return TrialState(
        epoch=epoch,
        module=_under(MODULE, named),
        optimizer=_under(OPTIMIZER, named),
        averaged=_under(AVERAGED, named),
    )


def _under(prefix: str, named: Tensors) -> Tensors:
    return {name.removeprefix(prefix): value for name, value in named.items() if name.startswith(prefix)}
