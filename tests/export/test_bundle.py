import hashlib
import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import JsonValue
from torch import nn

from hpo.config import JsonTree
from hpo.errors import BundleError, DataError
from hpo.export import load_bundle, write_bundle
from hpo.training.bundles import read_weights
from hpo.training.bundles.card import CARD, MODEL
from hpo.training.data.normalization import Normalization
from hpo.training.data.options import DataOptions
from hpo.training.data.splits import Examples, split
from hpo.training.models import Cnn, Mlp
from hpo.training.models.whitening import fit_whitening

CARD_OF_TRIAL: dict[str, JsonValue] = {"trial": 7, "params": {"optimizer.lr": 0.1}, "metrics": {"val_accuracy": 0.97}}
INPUT_SHAPE = (2, 6, 6)
NORMALIZATION = Normalization(
    mean=np.array([0.3, 5.0], np.float32).reshape(2, 1, 1), std=np.array([0.7, 2.5], np.float32).reshape(2, 1, 1)
)


def make_module(config: Cnn | Mlp) -> nn.Module:
    """A network in training mode whose batch-norm statistics are not the initial ones."""
    torch.manual_seed(0)
    module = config.build(INPUT_SHAPE, num_classes=5)
    fit_whitening(module, torch.randn(16, *INPUT_SHAPE))
    for _ in range(3):
        module(torch.randn(16, *INPUT_SHAPE))
    return module


def write(folder: Path, module: nn.Module, card: dict[str, JsonValue] | None = None) -> Path:
    return write_bundle(
        folder,
        module=module,
        normalization=NORMALIZATION,
        input_shape=INPUT_SHAPE,
        num_classes=5,
        card=CARD_OF_TRIAL if card is None else card,
    )


def read_json(path: Path) -> JsonTree:
    return dict(json.loads(path.read_text()))


def make_inputs(num_examples: int) -> np.ndarray:
    return np.random.default_rng(num_examples).normal(2, 3, (num_examples, *INPUT_SHAPE)).astype(np.float32)


def predict_eagerly(module: nn.Module, x: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        logits = module.eval()(torch.from_numpy(NORMALIZATION(x)))
    return torch.log_softmax(logits, dim=1).numpy()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("bundles") / "mlp", make_module(Mlp(hidden=(8,), dropout=0.5)))


@pytest.fixture
def bundle(written: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(written, tmp_path / "mlp"))


@pytest.mark.parametrize(
    "config",
    [
        Cnn(channels=(4,), hidden=8, norm="batch", dropout=0.3),
        Cnn(channels=(4,), hidden=8, whiten_patches=2),
        Mlp(hidden=(8,), norm="batch", dropout=0.5),
    ],
    ids=lambda config: config.kind,
)
def test_a_bundle_predicts_what_the_module_in_eval_mode_predicts(config: Cnn | Mlp, tmp_path: Path) -> None:
    module = make_module(config)

    loaded = load_bundle(write(tmp_path / "best", module))

    for num_examples in (1, 8, 37):
        x = make_inputs(num_examples)
        np.testing.assert_allclose(loaded.predict(x), predict_eagerly(module, x), rtol=0, atol=1e-6)


def test_predictions_do_not_depend_on_the_batch_size(written: Path) -> None:
    loaded = load_bundle(written)
    x = make_inputs(37)

    in_parts = loaded.predict(x, batch_size=8)

    np.testing.assert_allclose(in_parts, loaded.predict(x), rtol=0, atol=1e-6)


def test_no_examples_give_no_predictions(written: Path) -> None:
    log_probs = load_bundle(written).predict(np.empty((0, *INPUT_SHAPE), np.float32))

    assert log_probs.shape == (0, 5)


def test_a_bundle_needs_torch_and_nothing_of_hpo(written: Path, tmp_path: Path) -> None:
    x = make_inputs(3)
    np.save(tmp_path / "x.npy", x)
    script = (
        "import sys, numpy, torch\n"
        "model = torch.export.load(sys.argv[1]).module()\n"
        "numpy.save(sys.argv[3], model(torch.from_numpy(numpy.load(sys.argv[2]))).numpy())\n"
        "assert 'hpo' not in sys.modules\n"
    )
    arguments = [written / MODEL, tmp_path / "x.npy", tmp_path / "log_probs.npy"]

    subprocess.run([sys.executable, "-I", "-c", script, *arguments], check=True, cwd=tmp_path)

    np.testing.assert_allclose(np.load(tmp_path / "log_probs.npy"), load_bundle(written).predict(x), rtol=0, atol=1e-6)


def test_the_archive_holds_no_pickle(written: Path) -> None:
    with zipfile.ZipFile(written / MODEL) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}

    pickled_by_torch = [
        name for name, content in entries.items() if content.startswith(b"PK") or b"\x80\x02c" in content
    ]
    configs = [json.loads(content)["config"] for name, content in entries.items() if name.endswith("_config.json")]
    assert pickled_by_torch == []
    assert not any(payload["use_pickle"] for config in configs for payload in config.values())


def test_a_bundle_loads_without_unpickling(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("unpickled")

    monkeypatch.setattr("torch.load", refuse)
    monkeypatch.setattr("pickle.loads", refuse)

    loaded = load_bundle(written)

    assert loaded.predict(make_inputs(2)).shape == (2, 5)


def test_the_card_says_what_goes_in_what_comes_out_and_where_it_came_from(written: Path) -> None:
    card = read_json(written / CARD)

    assert card["input"] == {"shape": [2, 6, 6], "dtype": "float32", "normalized": False}
    assert card["output"] == {"num_classes": 5, "dtype": "float32", "meaning": "log_probabilities"}
    assert card["versions"]["torch"] == torch.__version__
    assert {name: card[name] for name in CARD_OF_TRIAL} == CARD_OF_TRIAL


def test_writing_a_bundle_leaves_the_module_as_it_was(tmp_path: Path) -> None:
    module = make_module(Mlp(hidden=(8,)))

    write(tmp_path / "best", module)

    assert module.training
    assert all(parameter.requires_grad for parameter in module.parameters())


def test_a_bundle_replaces_an_older_one_and_leaves_nothing_beside(bundle: Path) -> None:
    write(bundle, make_module(Mlp(hidden=(8,))), {"trial": 8})

    assert read_json(bundle / CARD)["trial"] == 8
    assert list(bundle.parent.iterdir()) == [bundle]


class TwoRows(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.reshape(2, -1)[:, :5]


class Noisy(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.rand(x.shape[0], 5)


class Diverged(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1)[:, :5] * torch.nan


@pytest.mark.parametrize(
    ("module", "rule"),
    [
        (TwoRows(), "must be exportable by torch.export for any batch size"),
        (
            Noisy(),
            r"must predict as the module does, but differs by .* Does the module draw random numbers in eval mode\?",
        ),
        (Diverged(), r"must give finite log-probabilities, but did not. Has its training diverged\?"),
        (nn.Flatten(), r"must return logits \[1, 5\], but returned \[1, 72\]"),
    ],
    ids=["fixed batch", "random", "diverged", "wrong width"],
)
def test_a_module_that_cannot_be_reproduced_is_refused_and_the_old_bundle_stays(
    module: nn.Module, rule: str, bundle: Path
) -> None:
    with pytest.raises(BundleError, match=rule):
        write(bundle, module)

    assert read_json(bundle / CARD)["trial"] == 7
    assert list(bundle.parent.iterdir()) == [bundle]


def sign(folder: Path) -> None:
    """Make the card say what is in the archive now."""
    content = (folder / MODEL).read_bytes()
    model = {"file": MODEL, "num_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (folder / CARD).write_text(json.dumps(read_json(folder / CARD) | {"model": model}))


def add_example_inputs(model: Path) -> None:
    program = torch.export.load(model)
    program.example_inputs = ((torch.zeros(2, *INPUT_SHAPE),), {})
    torch.export.save(program, model)


def call_a_weight_a_pickle(model: Path) -> None:
    with zipfile.ZipFile(model) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(model, "w") as archive:
        for name, content in entries.items():
            is_config = name.endswith("weights_config.json")
            archive.writestr(name, content.replace(b"false", b"true") if is_config else content)


@pytest.mark.parametrize(
    ("change", "pickled"),
    [(add_example_inputs, "model/data/sample_inputs/model.pt"), (call_a_weight_a_pickle, "module.1.weight, .*")],
)
def test_an_archive_with_a_pickle_in_it_is_refused(change: Callable[[Path], None], pickled: str, bundle: Path) -> None:
    change(bundle / MODEL)
    sign(bundle)

    with pytest.raises(BundleError, match=rf"must hold nothing but numbers and words, .* but holds {pickled}\. Export"):
        load_bundle(bundle)


def test_the_weights_of_a_bundle_are_those_of_its_network_and_are_read_once(bundle: Path) -> None:
    module = make_module(Mlp(hidden=(8,), dropout=0.5))

    weights = read_weights(bundle)

    assert weights.keys() == module.state_dict().keys()
    assert all(weights[name].equal(value) for name, value in module.state_dict().items())
    assert read_weights(bundle) is weights


def test_the_weights_of_a_bundle_that_was_replaced_are_read_again(bundle: Path) -> None:
    read_weights(bundle)
    module = make_module(Mlp(hidden=(4,)))

    write(bundle, module)

    assert read_weights(bundle)["1.weight"].equal(module.state_dict()["1.weight"])


def test_a_file_that_torch_cannot_read_is_refused_with_the_version_that_wrote_it(bundle: Path) -> None:
    (bundle / MODEL).write_bytes(b"no archive")
    sign(bundle)

    with pytest.raises(BundleError, match=r"must be readable by torch.export, but torch .* It was written by torch 2"):
        load_bundle(bundle)


def test_a_folder_that_is_no_bundle_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")

    with pytest.raises(BundleError, match=r"must be new, empty or a bundle, but holds something else. Name another"):
        write(tmp_path, make_module(Mlp(hidden=(8,))))

    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_a_card_with_a_nan_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="a card must hold finite numbers, but: Out of range float"):
        write(tmp_path / "best", make_module(Mlp(hidden=(8,))), {"metrics": {"val_loss": float("nan")}})

    assert not (tmp_path / "best").exists()


def remove(folder: Path) -> None:
    shutil.rmtree(folder)


def empty(folder: Path) -> None:
    (folder / CARD).unlink()


def scribble_on_the_card(folder: Path) -> None:
    (folder / CARD).write_text("{")


def use_another_card(folder: Path) -> None:
    (folder / CARD).write_text('{"name": "a deck"}')


def drop_a_field(folder: Path) -> None:
    (folder / CARD).write_text(json.dumps(read_json(folder / CARD) | {"output": {}}))


def remove_the_model(folder: Path) -> None:
    (folder / MODEL).unlink()


def truncate_the_model(folder: Path) -> None:
    (folder / MODEL).write_bytes((folder / MODEL).read_bytes()[:1000])


def flip_a_byte_of_the_model(folder: Path) -> None:
    content = bytearray((folder / MODEL).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / MODEL).write_bytes(content)


def use_a_newer_format(folder: Path) -> None:
    card = read_json(folder / CARD)
    (folder / CARD).write_text(json.dumps(card | {"format_version": 2}))


@pytest.mark.parametrize(
    ("damage", "rule"),
    [
        (remove, "mlp: no such folder. `hpo export` writes one."),
        (empty, "mlp: must be a bundle, a folder with card.json and model.pt2, but has no card.json."),
        (scribble_on_the_card, "card.json: must be a bundle's card with a `format_version`, but: JSONDecodeError"),
        (use_another_card, r"must be a bundle's card with a `format_version`, but: KeyError\('format_version'\)"),
        (
            drop_a_field,
            "card.json: every field of the format must be there, but output.num_classes is missing or wrong",
        ),
        (remove_the_model, "model.pt2: no such file. Copy the bundle again, or export the trial again."),
        (truncate_the_model, r"model.pt2: must have \d+ bytes, but has 1000. Copy the bundle again"),
        (
            flip_a_byte_of_the_model,
            "model.pt2: must have the sha256 that card.json gives, but its content has changed.",
        ),
        (use_a_newer_format, "card.json: format 1 can be read, but this is format 2. Update hpo."),
    ],
)
def test_a_damaged_bundle_is_refused_in_clear_words(damage: Callable[[Path], None], rule: str, bundle: Path) -> None:
    damage(bundle)

    with pytest.raises(BundleError, match=rule):
        load_bundle(bundle)


@pytest.mark.parametrize(
    ("x", "rule"),
    [
        (np.zeros((3, 72)), r"x must be numbers \[n, 2, 6, 6\], as in training, but is float64 of shape \[3, 72\]"),
        (np.zeros((3, *INPUT_SHAPE), "U1"), r"x must be numbers \[n, 2, 6, 6\], as in training, but is <U1"),
        (np.full((3, *INPUT_SHAPE), np.nan), "x must be finite in float32, but holds NaN or infinity"),
    ],
    ids=["shape", "text", "nan"],
)
def test_inputs_that_do_not_fit_are_refused(x: np.ndarray, rule: str, written: Path) -> None:
    with pytest.raises(DataError, match=rule):
        load_bundle(written).predict(x)


@pytest.mark.parametrize(
    "options",
    [
        DataOptions(whiten="pca"),
        DataOptions(whiten="zca"),
        DataOptions(image_size=4),
        DataOptions(image_size=9, whiten="zca"),
    ],
    ids=lambda options: "-".join(sorted(options.model_fields_set)),
)
def test_preparation_is_part_of_the_bundle(options: DataOptions, tmp_path: Path) -> None:
    raw = make_inputs(300)
    splits = split(Examples(raw, np.arange(300) % 5), validation=0.2, test=0.0, seed=0, options=options)
    module = Mlp(hidden=(8,)).build(splits.input_shape, 5)

    folder = write_bundle(
        tmp_path / "best",
        module=module,
        normalization=splits.normalization,
        input_shape=splits.raw_shape,
        num_classes=5,
        card=CARD_OF_TRIAL,
    )

    with torch.inference_mode():
        expected = torch.log_softmax(module.eval()(torch.from_numpy(splits.normalization(raw))), dim=1)
    np.testing.assert_allclose(load_bundle(folder).predict(raw), expected, rtol=0, atol=1e-5)
