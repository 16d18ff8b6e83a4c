"""Checkpoints: one safetensors file per trial and rung. Nothing is pickled."""

import json
import re
from dataclasses import asdict

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from hpo.config import JsonTree
from hpo.errors import HpoError
from hpo.files import Address, fetched, written
from hpo.training.schedules import PlateauMemory
from hpo.training.state import Best, Course, Snapshot, Tensors, TrialState
from hpo.uris import masked

MODULE, OPTIMIZER, AVERAGED = "module.", "optimizer.", "averaged."
LOG_PROBS = "log_probs."
BEST, SNAPSHOT = "best.", "snapshot.{}."
_PREDICTION = re.compile(r"(?:snapshot\.(\d+)\.)?log_probs\.(\w+)")

Predicted = npt.NDArray[np.float16]
"""Log-probabilities [n, C]."""


def write_checkpoint(address: Address, state: TrialState) -> None:
    """Write `state` so that a reader sees all of it or nothing."""
    named = _prefixed(MODULE, state.module) | _prefixed(OPTIMIZER, state.optimizer)
    named |= _prefixed(AVERAGED, state.averaged) | _prefixed(LOG_PROBS, state.log_probs)
    metadata = {"epoch": str(state.epoch), "plateau": json.dumps(asdict(state.course.plateau))}
    if state.micro_batch > 0:
        metadata["micro_batch"] = str(state.micro_batch)
    best = state.course.best
    if best is not None:
        named |= _prefixed(BEST + MODULE, best.module) | _prefixed(BEST + AVERAGED, best.averaged)
        named |= _prefixed(BEST + LOG_PROBS, best.log_probs)
        metadata["best"] = json.dumps({"epoch": best.epoch, "metrics": dict(best.metrics)})
    for snapshot in state.course.snapshots:
        prefix = SNAPSHOT.format(snapshot.epoch)
        named |= _prefixed(prefix + MODULE, snapshot.module) | _prefixed(prefix + LOG_PROBS, snapshot.log_probs)
    metadata["snapshots"] = json.dumps([snapshot.epoch for snapshot in state.course.snapshots])
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
            epochs = [int(number) for number in json.loads(metadata.get("snapshots", "[]"))]
            named = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise HpoError(f"{masked(str(address))}: must be a checkpoint that a trial wrote, but {error}.") from error
    return TrialState(
        epoch=epoch,
        module=_under(MODULE, named),
        optimizer=_under(OPTIMIZER, named),
        averaged=_under(AVERAGED, named),
        micro_batch=micro_batch,
        log_probs=_under(LOG_PROBS, named),
        course=Course(
            plateau=plateau,
            best=None if best is None else _best(best, named),
            snapshots=tuple(_snapshot(number, named) for number in epochs),
        ),
    )


def read_predictions(address: Address) -> dict[tuple[int, str], Predicted]:
    """What the networks in a checkpoint say of the validation examples, [n, C], by epoch and weights; nothing else.

    Raises:
        HpoError: if the file is missing or damaged.
    """
    try:
        with fetched(address) as path, safe_open(path, framework="numpy") as file:
            epoch = int(file.metadata()["epoch"])
            names = (_PREDICTION.fullmatch(name) for name in file.keys())  # noqa: SIM118 - not a mapping
            found = {(int(name[1] or epoch), name[2]): file.get_tensor(name[0]) for name in names if name}
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise HpoError(f"{masked(str(address))}: must be a checkpoint that a trial wrote, but {error}.") from error
    return found


def _best(numbers: JsonTree, named: Tensors) -> Best:
    return Best(
        **numbers,
        module=_under(BEST + MODULE, named),
        averaged=_under(BEST + AVERAGED, named),
        log_probs=_under(BEST + LOG_PROBS, named),
    )


def _snapshot(epoch: int, named: Tensors) -> Snapshot:
    prefix = SNAPSHOT.format(epoch)
    return Snapshot(epoch=epoch, module=_under(prefix + MODULE, named), log_probs=_under(prefix + LOG_PROBS, named))


def _prefixed(prefix: str, tensors: Tensors) -> Tensors:
    return {prefix + name: value for name, value in tensors.items()}


def _under(prefix: str, named: Tensors) -> Tensors:
    return {name.removeprefix(prefix): value for name, value in named.items() if name.startswith(prefix)}
