"""`hpo register`, and models that leave for ONNX Runtime."""

from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.cli.conftest import Hpo


@pytest.fixture(scope="module")
def onnx_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the first test leaves a bundle."""
    return tmp_path_factory.mktemp("bundles") / "best"


def test_a_model_without_a_name_is_a_matter_of_usage(hpo: Hpo) -> None:
    done = hpo("register", "any", "@best")

    assert done.exit_code == 2
    assert "must be NAME or NAME@ALIAS" in done.output


def test_export_writes_onnx_when_asked(hpo: Hpo, onnx_bundle: Path) -> None:
    done = hpo("export", "small", onnx_bundle, "--onnx")

    assert done.exit_code == 0
    assert (onnx_bundle / "model.onnx").is_file()


def test_a_trial_and_a_folder_are_registered_by_one_name(hpo: Hpo, onnx_bundle: Path, uri: str) -> None:
    of_trial = hpo("register", "small/3", "digits", "--uri", uri)
    of_folder = hpo("register", onnx_bundle, "digits@best", "--uri", uri)

    client = MlflowClient(uri)
    assert of_trial.stdout == "digits version 1\n"
    assert of_folder.stdout == "digits version 2, @best\n"
    runs = [client.get_run(str(client.get_model_version("digits", str(number)).run_id)) for number in (1, 2)]
    assert [run.info.run_name for run in runs] == ["digits", "digits"]  # the sweep was not tracked
    assert int(client.get_model_version_by_alias("digits", "best").version) == 2


def test_a_folder_without_onnx_is_refused_with_what_to_do(hpo: Hpo, folder: Path, sweep_id: str, uri: str) -> None:
    done = hpo("register", folder / "runs" / sweep_id / "best", "digits", "--uri", uri)

    assert done.exit_code == 1
    assert "must hold model.onnx to be registered, but does not. Export it again, with --onnx." in done.stderr
