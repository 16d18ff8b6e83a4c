"""A bundle's model for ONNX Runtime, and what predicts with it where there is no torch."""

import importlib
import logging
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from hpo.errors import BundleError
from hpo.training.bundles.card import ONNX, PREDICT, REFERENCE, Outputs
from hpo.training.bundles.reading import first_line

LIBRARIES: Final = ("onnx", "onnxscript", "onnxruntime")
SCRIPT: Final = Path(__file__).with_name("predict.py")
LONGEST_CHECK_S: Final = 600.0
_ALONE: Final = (
    "import runpy, sys; sys.modules.update(dict.fromkeys(['torch', 'hpo', 'onnx'])); "
    "sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
)
"""Runs a script where torch, hpo and onnx cannot be imported."""


def refuse_without_libraries() -> None:
    """Find out before it is too late.

    Raises:
        BundleError: if a library is missing.
    """
    if missing := [name for name in LIBRARIES if find_spec(name) is None]:
        raise BundleError(
            f"{ONNX} needs {', '.join(LIBRARIES)}, but {', '.join(missing)} cannot be found. pip install 'hpo[onnx]', "
            "or write no onnx."
        )


def write_onnx(
    folder: Path, program: torch.export.ExportedProgram, outputs: Outputs, x: torch.Tensor, given: list[torch.Tensor]
) -> None:
    """Write model.onnx, predict.py and reference.npz.

    Args:
        folder: of the bundle.
        program: the exported model.
        outputs: names of what it gives.
        x: raw inputs to remember [n, *input_shape].
        given: what the model itself, before it was exported, gives for them.

    Raises:
        BundleError: if a library is missing, or the model cannot be converted.
    """
    refuse_without_libraries()
    try:
        with _quiet():
            converted = torch.onnx.export(
                program,
                dynamo=True,
                verbose=False,
                input_names=["x"],
                output_names=list(outputs),
                dynamic_shapes=({0: "batch"},),
            )
        assert converted is not None
        _forget_origins(converted.model)
        importlib.import_module("onnx").save_model(converted.model_proto, folder / ONNX)
    except Exception as error:  # whatever the converters raise; a model above 2 GB is none
        raise BundleError(
            f"the module must be convertible to ONNX, but: {first_line(error)}. Export pt2 alone."
        ) from error
    arrays = {name: tensor.numpy() for name, tensor in zip(outputs, given, strict=True)}
    np.savez_compressed(folder / REFERENCE, allow_pickle=False, x=x.numpy(), **arrays)
    shutil.copy(SCRIPT, folder / PREDICT)


def check_alone(folder: Path) -> None:
    """Let the bundle's own predict.py check it, in a fresh process that cannot import torch.

    Raises:
        BundleError: if it finds anything wrong.
    """
    command = [sys.executable, "-I", "-c", _ALONE, str(folder / PREDICT), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LONGEST_CHECK_S)
    if done.returncode != 0:
        why = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]
        raise BundleError(f"{ONNX} must predict as the module does, without torch, but: {why} Export pt2 alone.")


def _forget_origins(model: Any) -> None:
    """Nodes are born with the stack traces, and so the paths, of whoever exported them."""
    for node in model.graph.all_nodes():
        node.metadata_props.clear()
        for value in node.outputs:
            value.metadata_props.clear()


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporter says of torchvision and of torch's own deprecations."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
