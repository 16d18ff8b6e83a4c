"""Bundles for ONNX Runtime, and their predict.py where there is no torch."""

import csv
import hashlib
import json
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from hpo.errors import BundleError
from hpo.export import Bundle, load_bundle, write_bundle, write_ensemble
from hpo.export import onnx as exporting
from hpo.export.cost import measure_cost
from hpo.training.models import Mlp
from tests.export.test_ensemble import INPUT_SHAPE, MEMBERS, NUM_CLASSES, PLAIN, TEMPERATURE, raw_inputs

WITHOUT_TORCH = (
    "import runpy, sys; sys.modules.update(torch=None, hpo=None, onnx=None); sys.argv = sys.argv[1:];"
    "runpy.run_path(sys.argv[0], run_name='__main__')"
)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_ensemble(
        tmp_path_factory.mktemp("bundles") / "ensemble",
        members=MEMBERS,
        temperature=TEMPERATURE,
        input_shape=INPUT_SHAPE,
        num_classes=NUM_CLASSES,
        card={},
    )


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(written, tmp_path / "ensemble"))


@pytest.fixture(scope="module")
def bundle(written: Path) -> Bundle:
    return load_bundle(written)


def alone(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run its predict.py where torch cannot be imported."""
    command = [sys.executable, "-I", "-c", WITHOUT_TORCH, str(folder / "predict.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_folder_holds_all_that_is_needed_and_the_card_describes_it(written: Path) -> None:
    card = json.loads((written / "card.json").read_text())

    names = {"card.json", "model.pt2", "model.onnx", "predict.py", "reference.npz"}
    assert {path.name for path in written.iterdir()} == names
    assert {entry["file"] for entry in [card["model"], *card["files"]]} == names - {"card.json"}
    assert card["versions"].keys() == {"hpo", "numpy", "torch", "onnx", "onnxruntime"}


def test_onnx_runtime_says_what_torch_says_whatever_the_batch(written: Path, bundle: Bundle) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(written / "model.onnx"), providers=["CPUExecutionProvider"])

    assert [(given.name, given.shape[1:]) for given in session.get_inputs()] == [("x", [*INPUT_SHAPE])]
    assert [given.name for given in session.get_outputs()] == ["log_probs", "entropy", "disagreement"]
    for num_examples in (1, 3, 16, 37):
        x = raw_inputs(num_examples)
        expected = bundle.outputs(x)
        for name, array in zip(expected, session.run(None, {"x": x}), strict=True):
            np.testing.assert_allclose(array, expected[name], rtol=1e-5, atol=1e-5)


def test_predict_py_needs_no_torch_and_writes_what_the_bundle_predicts(
    written: Path, bundle: Bundle, tmp_path: Path
) -> None:
    x = raw_inputs(37)
    expected = bundle.outputs(x)
    labels = expected["log_probs"].argmax(1)
    labels[:10] = (labels[:10] + 1) % NUM_CLASSES
    np.savez(tmp_path / "data.npz", x=x, y=labels)

    done = alone(written, tmp_path / "data.npz", "--out", tmp_path / "out.npz", "--check")
    as_table = alone(written, tmp_path / "data.npz", "--out", tmp_path / "out.csv")

    assert done.returncode == 0, done.stderr
    assert as_table.returncode == 0, as_table.stderr
    nll = -float(expected["log_probs"][np.arange(37), labels].mean())
    [checked, accuracy, loss] = done.stdout.splitlines()
    assert checked.startswith("all files are whole; predictions differ by")
    assert accuracy == f"accuracy {27 / 37:.6f}"
    assert float(loss.removeprefix("nll ")) == pytest.approx(nll, abs=1e-4)
    with np.load(tmp_path / "out.npz") as given:
        for name, array in expected.items():
            np.testing.assert_allclose(given[name], array, rtol=1e-5, atol=1e-5)
    with (tmp_path / "out.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["class"]) for row in rows] == expected["log_probs"].argmax(1).tolist()
    assert [float(row["log_prob_4"]) for row in rows] == pytest.approx(expected["log_probs"][:, 4], abs=1e-4)
    assert [float(row["disagreement"]) for row in rows] == pytest.approx(expected["disagreement"], abs=1e-4)


def test_the_reference_is_what_the_eager_networks_give_for_nobodys_examples(written: Path, bundle: Bundle) -> None:
    with np.load(written / "reference.npz") as archive:
        reference = dict(archive)

    assert reference["x"].shape == (64, *INPUT_SHAPE)
    for name, array in bundle.outputs(reference["x"]).items():
        np.testing.assert_allclose(reference[name], array, rtol=1e-4, atol=1e-4)


def test_the_model_says_nothing_of_the_machine_that_made_it(written: Path) -> None:
    import onnx

    nodes = onnx.load(written / "model.onnx").graph.node

    assert b".py" not in (written / "model.onnx").read_bytes()
    assert [node.name for node in nodes if node.metadata_props] == []


@pytest.mark.parametrize("batch_size", [1, 100])
def test_what_a_bundle_costs_is_measured_on_its_own_inputs(batch_size: int, written: Path) -> None:
    cost = measure_cost(written, batch_size, num_runs=5)

    assert cost.megabytes == (written / "model.onnx").stat().st_size / 1e6
    assert 0 < cost.p50_ms <= cost.p95_ms


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["model.onnx", "reference.npz", "predict.py", "model.pt2"])
@pytest.mark.parametrize("damage", [flip_a_byte, Path.unlink], ids=["changed", "gone"])
def test_a_damaged_file_is_told_by_hpo(name: str, damage: Callable[[Path], None], folder: Path) -> None:
    damage(folder / name)

    with pytest.raises(BundleError, match=rf"{name}: (no such file|must have the sha256 that card.json gives)"):
        load_bundle(folder)


@pytest.mark.parametrize(
    ("name", "damage", "rule"),
    [
        ("model.onnx", flip_a_byte, "model.onnx: must have the sha256 that card.json gives. Copy the bundle again."),
        ("model.onnx", Path.unlink, "model.onnx: must be there and in card.json, but is not. Export the bundle again."),
        ("reference.npz", flip_a_byte, "reference.npz: must have the sha256"),
        ("model.pt2", Path.unlink, "model.pt2: must be there and in card.json"),
    ],
)
def test_a_damaged_file_is_told_by_predict_py(
    name: str, damage: Callable[[Path], None], rule: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(folder / name)

    with pytest.raises(SystemExit, match=rule):
        run(folder, "--check")


def run(folder: Path, *arguments: object) -> None:
    """Its predict.py, in this process."""
    runpy.run_path(str(folder / "predict.py"))["main"]([*map(str, arguments)])


def test_a_reference_that_the_model_does_not_give_is_told(folder: Path) -> None:
    with np.load(folder / "reference.npz") as archive:
        changed = dict(archive)
    changed["entropy"][7] += 0.01
    np.savez(folder / "reference.npz", **changed)
    resign(folder, "reference.npz")

    with pytest.raises(SystemExit, match=r"entropy must be within 0.0001 of reference.npz, but differs by 0.01"):
        run(folder, "--check")


def resign(folder: Path, name: str) -> None:
    card = json.loads((folder / "card.json").read_text())
    for entry in card["files"]:
        if entry["file"] == name:
            entry["sha256"] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    (folder / "card.json").write_text(json.dumps(card))


@pytest.mark.parametrize(
    ("x", "rule"),
    [
        (np.zeros((3, 4)), r"x must be numbers \[n, 2, 8, 8\], but is float64 of shape \[3, 4\]"),
        (np.full((1, *INPUT_SHAPE), np.inf), "x must be finite in float32, but holds NaN or infinity"),
    ],
    ids=["shape", "infinite"],
)
def test_predict_py_refuses_what_the_model_does_not_take(
    x: np.ndarray, rule: str, written: Path, tmp_path: Path
) -> None:
    np.savez(tmp_path / "data.npz", x=x)

    with pytest.raises(SystemExit, match=rule):
        run(written, tmp_path / "data.npz")


def test_a_bundle_that_fails_its_own_check_is_refused(folder: Path) -> None:
    with np.load(folder / "reference.npz") as archive:
        changed = dict(archive)
    changed["log_probs"] += 1
    np.savez(folder / "reference.npz", **changed)
    resign(folder, "reference.npz")

    with pytest.raises(BundleError, match="model.onnx must predict as the module does, without torch, but: error: log"):
        exporting.check_alone(folder)


def test_without_its_libraries_onnx_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "find_spec", lambda name: None if name == "onnxscript" else object())

    with pytest.raises(BundleError) as caught:
        write_bundle(
            tmp_path / "best",
            module=Mlp(hidden=(4,)).build(INPUT_SHAPE, NUM_CLASSES),
            normalization=PLAIN,
            input_shape=INPUT_SHAPE,
            num_classes=NUM_CLASSES,
            card={},
            formats=("pt2", "onnx"),
        )

    assert str(caught.value) == (
        "model.onnx needs onnx, onnxscript, onnxruntime, but onnxscript cannot be found. pip install 'hpo[onnx]', "
        "or write no onnx."
    )
    assert list(tmp_path.iterdir()) == []


class Spectrum(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        values: torch.Tensor = torch.linalg.eigvalsh(x[:, 0] @ x[:, 0].mT)
        return values[:, :NUM_CLASSES]


def test_a_module_that_onnx_has_no_words_for_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="the module must be convertible to ONNX, but: .* Export pt2 alone"):
        write_bundle(
            tmp_path / "best",
            module=Spectrum(),
            normalization=PLAIN,
            input_shape=INPUT_SHAPE,
            num_classes=NUM_CLASSES,
            card={},
            formats=("pt2", "onnx"),
        )

    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_one_network_keeps_its_one_output(tmp_path: Path) -> None:
    folder = write_bundle(
        tmp_path / "best",
        module=MEMBERS[0].module,
        normalization=MEMBERS[0].normalization,
        input_shape=INPUT_SHAPE,
        num_classes=NUM_CLASSES,
        card={},
        formats=("pt2", "onnx"),
    )

    card = json.loads((folder / "card.json").read_text())
    assert (card["format_version"], card["outputs"]) == (1, ["log_probs"])
    assert alone(folder, "--check").returncode == 0
