"""Versions of models in MLflow's registry. Imports MLflow."""

import hashlib
import re
import tempfile
import warnings
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final

import mlflow
import numpy as np
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types import Schema, TensorSpec

from hpo.errors import BundleError, TrackingError
from hpo.tracking.location import database
from hpo.tracking.runs import SWEEP_TAG, make_experiment, prepare
from hpo.training.bundles.card import ONNX, Card, read_card
from hpo.uris import masked

_CODE: Final = Path(__file__).with_name("pyfunc.py")
_SWEEP_ID: Final = re.compile(r"[a-z0-9_-]+")


@dataclass(frozen=True, kw_only=True)
class Registered:
    """A version of a model."""

    name: str
    version: int
    alias: str | None

    def __str__(self) -> str:
        return f"{self.name} version {self.version}" + ("" if self.alias is None else f", @{self.alias}")


def register(bundle: Path, name: str, alias: str | None, *, uri: str, script: Path) -> Registered:
    """Store a bundle with the run that it comes from, and make a version of a registered model of it.

    A bundle whose run the store does not have gets one, in an experiment of the model's name.

    Args:
        bundle: with ONNX in it.
        name: of the model, made if there is none.
        alias: that moves to the new version.
        uri: of MLflow's store, as it is to be opened.
        script: predict.py, with which the model opens the bundle.

    Raises:
        BundleError: if the bundle is damaged, or cannot run without torch.
        TrackingError: if MLflow does not take it.
    """
    card = read_card(bundle)
    if ONNX not in [other.file for other in card.files]:
        raise BundleError(f"{bundle}: must hold {ONNX} to be registered, but does not. Export it again, with --onnx.")
    try:
        prepare(database(uri))
        client = MlflowClient(uri)
        run_id = _find_run(client, card) or _make_run(client, uri, name)
        source = _store(client, run_id, bundle, card, script)
        version = int(_make_version(client, name, source, run_id).version)
        if alias is not None:
            client.set_registered_model_alias(name, alias, str(version))
    except Exception as error:  # SQLite, sockets, HTTP and MLflow itself have no common base
        why = masked(f"{type(error).__name__}: {error}".splitlines()[0])
        raise TrackingError(f"{masked(uri)}: MLflow must take the model {name}, but does not ({why}).") from error
    return Registered(name=name, version=version, alias=alias)


def _find_run(client: MlflowClient, card: Card) -> str | None:
    """Of the trial that the card names; of its sweep, if it names none."""
    said = card.model_extra or {}
    sweep, trial = said.get("sweep"), said.get("trial")
    if not isinstance(sweep, str) or not _SWEEP_ID.fullmatch(sweep):
        return None
    run_name = f"{sweep}/{trial}" if isinstance(trial, int) else sweep
    everywhere = [experiment.experiment_id for experiment in client.search_experiments()]
    wanted = f"tags.`{SWEEP_TAG}` = '{sweep}' and attributes.run_name = '{run_name}'"
    found = client.search_runs(everywhere, wanted, max_results=1)
    return str(found[0].info.run_id) if found else None


def _make_run(client: MlflowClient, uri: str, name: str) -> str:
    run = client.create_run(make_experiment(client, uri, name), run_name=name)
    client.set_terminated(run.info.run_id)
    return str(run.info.run_id)


def _store(client: MlflowClient, run_id: str, bundle: Path, card: Card, script: Path) -> str:
    """The model among the run's artifacts, in a folder that no other bundle has: its address."""
    digest = hashlib.sha256((bundle / "card.json").read_bytes()).hexdigest()
    place = f"model-{digest[:12]}"
    # Recorded and forgotten: MLflow misses types and an example, from which it would guess the signature.
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(record=True):
        mlflow.pyfunc.save_model(
            Path(folder) / place,
            python_model=str(_CODE),
            artifacts={"bundle": str(bundle.absolute()), "script": str(script)},
            signature=_signature(card),
            pip_requirements=[f"{library}=={metadata.version(library)}" for library in ("numpy", "onnxruntime")],
        )
        client.log_artifacts(run_id, str(Path(folder) / place), place)
    return f"{client.get_run(run_id).info.artifact_uri}/{place}"


def _signature(card: Card) -> ModelSignature:
    """One array without a name goes in: MLflow hands `predict` a dict where it has one."""
    dtype = np.dtype(np.float32)
    inputs = Schema([TensorSpec(dtype, (-1, *card.input.shape))])
    shapes = {name: (-1, card.output.num_classes) if name == "log_probs" else (-1,) for name in card.outputs}
    return ModelSignature(inputs, Schema([TensorSpec(dtype, shape, name) for name, shape in shapes.items()]))


def _make_version(client: MlflowClient, name: str, source: str, run_id: str) -> ModelVersion:
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    return client.create_model_version(name, source, run_id)
