"""Checkpoints: one safetensors file per trial and rung. Nothing is pickled."""

import json
from dataclasses import asdict

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from hpo.config import JsonTree
from hpo.errors import HpoError
from hpo.files import Address, fetched, written
from hpo.training.schedules import PlateauMemory
from hpo.training.state import Best, Course, Tensors, TrialState
from hpo.uris import masked

MODULE, OPTIMIZER, AVERAGED = "module.", "optimizer.", "averaged."
BEST_MODULE, BEST_AVERAGED = "best.module.", "best.averaged."


def write_checkpoint(address: Address, state: TrialState) -> None:
    """Write `state` so that a reader sees all of it or nothing."""
    named = _prefixed(MODULE, state.module) | _prefixed(OPTIMIZER, state.optimizer)
    named |= _prefixed(AVERAGED, state.averaged)
    metadata = {"epoch": str(state.epoch), "plateau": json.dumps(asdict(state.course.plateau))}
    if state.micro_batch > 0:
        metadata["micro_batch"] = str(state.micro_batch)
    best = state.course.best
    if best is not None:
        named |= _prefixed(BEST_MODULE, best.module) | _prefixed(BEST_AVERAGED, best.averaged)
        metadata["best"] = json.dumps({"epoch": best.epoch, "metrics": dict(best.metrics)})
    with written(address) as beside:
        save_file({name: value.contiguous() for name, value in named.items()}, beside, metadata)


def read_checkpoint(address: Address) -> TrialState:
    """What `write_checkpoint` wrote.

    Raises:
        HpoError: if the file is missing or damaged.
    """
    try:
        with fetched(address) as path, safe_open(path, framework="pt") as file:
            metadata = file.metadata()
            epoch, plateau = int(metadata["epoch"]), PlateauMemory(**json.loads(metadata["plateau"]))
            micro_batch = int(metadata.get("micro_batch", 0))
            best = json.loads(metadata.get("best", "null"))
            named = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise HpoError(f"{masked(str(address))}: must be a checkpoint that a trial wrote, but {error}.") from error
    return TrialState(
        epoch=epoch,
        module=_under(MODULE, named),
        optimizer=_under(OPTIMIZER, named),
        averaged=_under(AVERAGED, named),
        micro_batch=micro_batch,
        course=Course(plateau=plateau, best=None if best is None else _best(best, named)),
    )


def _best(numbers: JsonTree, named: Tensors) -> Best:
    return Best(**numbers, module=_under(BEST_MODULE, named), averaged=_under(BEST_AVERAGED, named))


def _prefixed(prefix: str, tensors: Tensors) -> Tensors:
    return {prefix + name: value for name, value in tensors.items()}


def _under(prefix: str, named: Tensors) -> Tensors:
    return {name.removeprefix(prefix): value for name, value in named.items() if name.startswith(prefix)}
