"""A report on a sweep, as a user asks for it; and what MLflow keeps of it."""

import json
import shutil
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from mlflow import MlflowClient

from hpo.ensembles import Measures
from hpo.search.storage import owned
from tests.cli.conftest import Hpo


@pytest.fixture
def own(folder: Path, sweep_id: str, tmp_path: Path) -> Path:
    """A copy of the sweep, in folders of its own; its states lie where they were."""
    shutil.copytree(folder / "runs" / sweep_id, tmp_path / "runs" / sweep_id, ignore=shutil.ignore_patterns("best"))
    return tmp_path / "runs" / sweep_id


def texts(file: Path) -> str:
    return " ".join(" ".join(ET.fromstring(file.read_text(encoding="utf-8")).itertext()).split())


def test_a_report_is_written_into_the_folder_of_its_sweep(hpo: Hpo, own: Path) -> None:
    done = hpo("report", "small", "--runs", own.parent)

    said = texts(own / "report.html")
    assert done.exit_code == 0
    assert f"report  {own / 'report.html'}" in done.output
    assert "finished" in done.output
    assert f"{own.name} Finished (all trials are through); written" in said
    assert "The best of 8 trials is trial" in said
    assert "An ensemble of" in said


def test_it_is_written_elsewhere_where_one_says_so(hpo: Hpo, own: Path, tmp_path: Path) -> None:
    told = json.loads(hpo("report", "small", "--runs", own.parent, "--out", tmp_path / "mine.html", "--json").output)

    assert told == {"file": str(tmp_path / "mine.html"), "state": "finished", "is_tracked": False}
    assert (tmp_path / "mine.html").exists()
    assert not (own / "report.html").exists()


def test_the_report_of_a_sweep_that_runs_says_so_and_leaves_mlflow_to_its_driver(hpo: Hpo, own: Path, uri: str) -> None:
    track(own, uri)

    with owned(own / "driver.lock"):
        told = json.loads(hpo("report", "small", "--runs", own.parent, "--json").output)

    assert (told["state"], told["is_tracked"]) == ("running", False)
    assert "Running" in texts(own / "report.html")
    assert not (own / "outbox.jsonl").exists()


def test_mlflow_keeps_it_with_the_run_of_the_sweep(hpo: Hpo, own: Path, uri: str) -> None:
    track(own, uri)

    told = json.loads(hpo("report", "small", "--runs", own.parent, "--json").output)

    client = MlflowClient(uri)
    [run] = client.search_runs(["1"])
    assert told["is_tracked"]
    assert run.data.tags["hpo.sweep"] == own.name
    assert [each.path for each in client.list_artifacts(run.info.run_id)] == ["report.html"]


def test_without_its_states_a_report_has_no_reliability_diagram_and_the_log_says_why(
    hpo: Hpo, own: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (own / "data.json").write_text('{"digest": "another"}')

    hpo("report", "small", "--runs", own.parent)

    assert "expected calibration error" not in texts(own / "report.html")
    assert "The report has no reliability diagram" in caplog.text


def test_the_calibration_error_of_the_ensemble_is_that_of_its_members_together(
    hpo: Hpo, folder: Path, sweep_id: str, tmp_path: Path
) -> None:
    from hpo.ensembles import measure
    from hpo.export import load_bundle
    from hpo.training.data import Digits

    hpo("export", f"{sweep_id}/ensemble", tmp_path / "bundle")
    validation = Digits(input_norm="none").load(0).validation
    measured: Measures = measure(load_bundle(tmp_path / "bundle").predict(validation.x), validation.y)

    hpo("report", sweep_id, "--out", tmp_path / "report.html")

    assert f"On average it is {measured.ece:.3f} beside it" in texts(tmp_path / "report.html")


@pytest.mark.parametrize(
    ("name", "rule"),
    [("ensemble.json", "must be an ensemble as hpo leaves it"), ("finalized.json", "must be a table as hpo leaves it")],
)
def test_what_is_damaged_is_told(hpo: Hpo, own: Path, name: str, rule: str) -> None:
    (own / name).write_text("{")

    done = hpo("report", "small", "--runs", own.parent)

    assert done.exit_code == 1
    assert f"{name}: {rule}, but" in done.stderr


def test_what_cannot_be_written_is_told(hpo: Hpo, own: Path) -> None:
    done = hpo("report", "small", "--runs", own.parent, "--out", own / "study.db" / "report.html")

    assert done.exit_code == 1
    assert "report.html: must be a file that can be written, but [Errno" in done.stderr


def test_a_sweep_that_cannot_be_read_has_no_report(hpo: Hpo, own: Path) -> None:
    (own / "resolved.yaml").write_text("name: [")

    done = hpo("report", "small", "--runs", own.parent)

    assert done.exit_code == 1
    assert "must be readable for a report, but is not." in done.stderr


def track(own: Path, uri: str) -> None:
    """Let its file say that MLflow shows it."""
    resolved = (own / "resolved.yaml").read_text()
    assert "tracking: none" in resolved
    (own / "resolved.yaml").write_text(resolved.replace("tracking: none", f"tracking: {{uri: '{uri}'}}"))
