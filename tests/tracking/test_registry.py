"""Bundles in MLflow's registry: what is stored, who can load it, and what is refused."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient

from hpo.errors import BundleError, TrackingError
from hpo.export import Bundle, load_bundle, write_bundle, write_ensemble
from hpo.harvest.registering import register_bundle
from hpo.records import End, EndKind, Goal
from hpo.tracking import MlflowTracker, SweepStatus
from hpo.training.models import Mlp
from tests.export.test_ensemble import INPUT_SHAPE, MEMBERS, NUM_CLASSES, PLAIN, TEMPERATURE, raw_inputs
from tests.servers import free_port

LONGEST_START_S = 120.0


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = write_ensemble(
        tmp_path_factory.mktemp("bundles") / "ensemble",
        members=MEMBERS[:2],
        temperature=TEMPERATURE,
        input_shape=INPUT_SHAPE,
        num_classes=NUM_CLASSES,
        card={"sweep": "digits-3f2a", "trial": 0},
    )
    return load_bundle(folder)


@pytest.fixture(scope="module")
def store(ensemble: Bundle, empty_database: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Of a sweep whose trial's bundle is registered, and then once more."""
    folder = tmp_path_factory.mktemp("store")
    shutil.copy(empty_database, folder / "mlflow.db")
    uri = f"sqlite:///{folder}/mlflow.db"
    outbox = folder / "outbox"
    tracker = MlflowTracker(uri, "digits", "digits-3f2a", outbox=outbox, metric="val_loss", goal=Goal.MINIMIZE, tags={})
    tracker.start(0, {"optimizer.lr": 0.1})
    tracker.end(0, End(kind=EndKind.COMPLETE, epoch=1, value=0.5))
    assert tracker.finish({}, SweepStatus.FINISHED) is None
    said = [str(register_bundle(ensemble.folder, "digits", alias, uri)) for alias in ("ensemble", None)]
    assert said == ["digits version 1, @ensemble", "digits version 2"]
    return uri


def test_a_version_belongs_to_the_run_of_its_trial(store: str) -> None:
    client = MlflowClient(store)

    version = client.get_model_version_by_alias("digits", "ensemble")

    assert int(version.version) == 1
    assert version.run_id is not None
    assert version.source is not None
    assert client.get_run(version.run_id).info.run_name == "digits-3f2a/0"
    assert version.source.startswith(client.get_run(version.run_id).info.artifact_uri)


def test_a_registered_model_asks_for_no_torch(store: str) -> None:
    version = MlflowClient(store).get_model_version("digits", "1")

    folder = Path(str(version.source).removeprefix("file://"))

    required = {line.partition("==")[0] for line in (folder / "requirements.txt").read_text().split()}
    assert required == {"mlflow", "numpy", "onnxruntime"}


LOADED_ALONE = """
import sys
sys.modules.update(torch=None, hpo=None)
import mlflow, numpy
model = mlflow.pyfunc.load_model(sys.argv[1])
numpy.savez(sys.argv[3], **model.predict(numpy.load(sys.argv[2])))
print(model.metadata.signature.inputs.to_dict())
"""


def test_a_registered_model_gives_what_the_bundle_gives_without_torch(
    store: str, ensemble: Bundle, tmp_path: Path
) -> None:
    x = raw_inputs(7)
    np.save(tmp_path / "x.npy", x)
    arguments = ["models:/digits@ensemble", tmp_path / "x.npy", tmp_path / "out.npz"]

    done = subprocess.run(
        [sys.executable, "-c", LOADED_ALONE, *map(str, arguments)],
        env={**os.environ, "MLFLOW_TRACKING_URI": store},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "'dtype': 'float32', 'shape': (-1, 2, 8, 8)" in done.stdout
    with np.load(tmp_path / "out.npz") as given:
        for name, array in ensemble.outputs(x).items():
            np.testing.assert_allclose(given[name], array, rtol=1e-5, atol=1e-5)


def test_a_bundle_whose_run_is_not_there_gets_one(ensemble: Bundle, uri: str, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(ensemble.folder, tmp_path / "bundle"))
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps(card | {"sweep": "x' OR name = 'y"}))

    registered = register_bundle(folder, "mine", "best", uri)

    client = MlflowClient(uri)
    run_id = client.get_model_version_by_alias("mine", "best").run_id
    assert registered.version == 1
    assert run_id is not None
    assert client.get_run(run_id).info.run_name == "mine"


def test_a_bundle_without_onnx_is_refused(tmp_path: Path, uri: str) -> None:
    folder = write_bundle(
        tmp_path / "best",
        module=Mlp(hidden=(4,)).build(INPUT_SHAPE, NUM_CLASSES),
        normalization=PLAIN,
        input_shape=INPUT_SHAPE,
        num_classes=NUM_CLASSES,
        card={},
    )

    with pytest.raises(BundleError, match="best: must hold model.onnx to be registered, but does not. Export it again"):
        register_bundle(folder, "mine", None, uri)


def test_a_bundles_own_predict_py_is_never_run(ensemble: Bundle, uri: str, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(ensemble.folder, tmp_path / "bundle"))
    script = f"__import__('pathlib').Path({str(tmp_path / 'canary')!r}).touch()"
    (folder / "predict.py").write_text(script)
    forge(folder)

    register_bundle(folder, "mine", None, uri)

    assert load_bundle(folder).predict(raw_inputs(1)).shape == (1, NUM_CLASSES)
    assert not (tmp_path / "canary").exists()


def forge(folder: Path) -> None:
    """Let the card describe predict.py as it is."""
    content = (folder / "predict.py").read_bytes()
    card = json.loads((folder / "card.json").read_text())
    for entry in card["files"]:
        if entry["file"] == "predict.py":
            entry |= {"num_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (folder / "card.json").write_text(json.dumps(card))


@pytest.mark.parametrize(("name", "alias"), [("a/b", None), ("digits", "latest")], ids=["name", "alias"])
def test_what_mlflow_does_not_take_is_told(name: str, alias: str | None, ensemble: Bundle, uri: str) -> None:
    with pytest.raises(TrackingError, match=rf"MLflow must take the model {name}, but does not \(MlflowException: "):
        register_bundle(ensemble.folder, name, alias, uri)


@pytest.fixture
def served(store: str) -> Iterator[str]:
    """The address of a server of `models:/digits@ensemble`."""
    port = free_port()
    serve = ["models", "serve", "--env-manager", "local", "-m", "models:/digits@ensemble", "--port", str(port)]
    process = subprocess.Popen(
        [sys.executable, "-m", "mlflow", *serve],
        env={**os.environ, "MLFLOW_TRACKING_URI": store, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        start_new_session=True,
    )
    try:
        wait_for(f"http://127.0.0.1:{port}/ping")
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, 15)
        process.wait()


def wait_for(address: str) -> None:
    started_s = time.monotonic()
    while True:
        try:
            urllib.request.urlopen(address, timeout=5).close()
        except OSError:
            assert time.monotonic() - started_s < LONGEST_START_S, "the model server does not start"
            time.sleep(0.2)
        else:
            return


@pytest.mark.slow
def test_a_served_model_answers_with_what_the_bundle_gives(served: str, ensemble: Bundle) -> None:
    x = raw_inputs(5)
    request = urllib.request.Request(
        f"{served}/invocations",
        data=json.dumps({"inputs": x.tolist()}).encode(),
        headers={"Content-Type": "application/json"},
    )

    with urllib.request.urlopen(request, timeout=60) as answer:
        predictions = json.load(answer)["predictions"]

    for name, array in ensemble.outputs(x).items():
        np.testing.assert_allclose(predictions[name], array, rtol=1e-5, atol=1e-5)
