"""Several processes that each train one trial, at the same time: what people do who have no lanes."""

import multiprocessing
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from multiprocessing.synchronize import Barrier
from typing import Any

import torch

ON_GPU = (4, 8, 16)
"""Processes that share one GPU; the best number counts."""
MPS = "nvidia-cuda-mps-control"

Prepare = Callable[..., Callable[[], float]]
"""Makes ready in one process what is measured; kept there by its arguments."""


@dataclass(frozen=True)
class Processes:
    """Warm processes, in pools of several sizes."""

    pools: Mapping[int, ProcessPoolExecutor]
    kind: str
    """What they are, in words."""

    @property
    def numbers(self) -> list[int]:
        """Of processes that train at once."""
        return list(self.pools)

    def measure(self, num: int, prepare: Prepare, *arguments: Any) -> float:
        """The sum of what `prepare(*arguments)()` finds in each of `num` processes, all at the same time."""
        tasks = [self.pools[num].submit(_run, prepare, arguments) for _ in range(num)]
        return sum(task.result() for task in tasks)


@contextmanager
def open_processes(device: torch.device, *, is_quick: bool) -> Iterator[Processes]:
    """One for each core, or, on a GPU, several numbers of them that share it."""
    num_cores = len(os.sched_getaffinity(0))
    context = multiprocessing.get_context("spawn")
    with ExitStack() as stack:
        environment: dict[str, str] = {}
        numbers = [2 if is_quick else num_cores]
        kind = "one process for each core, each of which trains solo; all of them together."
        if device.type == "cuda":
            environment = stack.enter_context(_mps())
            numbers = numbers if is_quick else [num for num in ON_GPU if num <= num_cores] or [num_cores]
            sharing = "through NVIDIA's MPS" if environment else "without MPS, which could not be had"
            kind = (
                f"as many processes as in brackets, the best of {numbers}, share the GPU {sharing}; each trains solo."
            )
        pools = {
            num: stack.enter_context(
                ProcessPoolExecutor(num, context, initializer=_begin, initargs=(context.Barrier(num), environment))
            )
            for num in numbers
        }
        yield Processes(pools, kind)


@contextmanager
def _mps() -> Iterator[dict[str, str]]:
    """NVIDIA's multi-process service, as the variables that its clients need; none where it cannot be had."""
    if shutil.which(MPS) is None:
        yield {}
        return
    with tempfile.TemporaryDirectory() as folder:
        variables = {"CUDA_MPS_PIPE_DIRECTORY": folder, "CUDA_MPS_LOG_DIRECTORY": folder}
        environment = os.environ | variables
        started = subprocess.run([MPS, "-d"], env=environment, capture_output=True, check=False)
        try:
            yield variables if started.returncode == 0 else {}
        finally:
            subprocess.run([MPS], env=environment, input=b"quit\n", capture_output=True, check=False)


_barrier: Barrier


def _begin(barrier: Barrier, environment: Mapping[str, str]) -> None:
    """What every process does first, before it touches the GPU."""
    global _barrier  # noqa: PLW0603 - the only way into a pool's process
    _barrier = barrier
    os.environ.update(environment)
    torch.set_num_threads(1)


def _run(prepare: Prepare, arguments: tuple[Any, ...]) -> float:
    measure = _prepared(prepare, arguments)
    _barrier.wait()
    return measure()


@cache
def _prepared(prepare: Prepare, arguments: tuple[Any, ...]) -> Callable[[], float]:
    """Stays warm from round to round."""
    return prepare(*arguments)
