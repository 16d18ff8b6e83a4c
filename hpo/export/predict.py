"""Predict with the bundle that this file lies in. It needs onnxruntime and numpy, and nothing else.

python predict.py data.npz                          x [n, ...] as it came; with y [n] there, accuracy and loss, too
python predict.py data.npz --out predictions.csv    every prediction; or .npz
python predict.py --check                           whether all files are whole, and the model says what it once said
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

TOLERANCE = 1e-4
"""Of what `--check` compares, and of that times the number, if it is above 1."""
BATCH_SIZES = (1, 3, 16)
"""In which `--check` predicts; what is left of the examples makes a last one."""


class BundleRefusedError(Exception):
    """The bundle is not what its card says, or the data are not what it takes."""


@dataclass(frozen=True)
class Model:
    """A bundle's model in ONNX Runtime."""

    card: dict[str, Any]
    session: Any

    def predict(self, x: np.ndarray, batch_size: int = 256) -> dict[str, np.ndarray]:
        """Raw inputs [n, *input_shape] -> log_probs [n, C]; of an ensemble also entropy [n] and disagreement [n]."""
        shape = tuple(self.card["input"]["shape"])
        if x.ndim == 0 or x.shape[1:] != shape or x.dtype.kind not in "fiub":
            raise BundleRefusedError(
                f"x must be numbers [n, {', '.join(map(str, shape))}], but is {x.dtype} of shape {list(x.shape)}."
            )
        inputs = np.ascontiguousarray(x, dtype=np.float32)
        if not np.isfinite(inputs).all():
            raise BundleRefusedError("x must be finite in float32, but holds NaN or infinity.")
        names = self.card["outputs"]
        starts = range(0, max(1, len(inputs)), batch_size)
        parts = [self.session.run(names, {"x": inputs[start : start + batch_size]}) for start in starts]
        return {name: np.concatenate([part[place] for part in parts]) for place, name in enumerate(names)}


def open_model(folder: Path, num_threads: int = 0) -> Model:
    """The model in `folder`, once it is known to be whole; 0 threads: as many as ONNX Runtime likes."""
    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    check_whole(folder, card, ["model.onnx"])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_threads
    path = str(folder / "model.onnx")
    return Model(card, onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"]))


def check_whole(folder: Path, card: dict[str, Any], names: list[str]) -> None:
    """Hold files against the sha256 that the card gives."""
    expected = {entry["file"]: entry["sha256"] for entry in [card["model"], *card["files"]]}
    for name in names:
        path = folder / name
        if name not in expected or not path.is_file():
            raise BundleRefusedError(f"{path}: must be there and in card.json, but is not. Export the bundle again.")
        if hashlib.sha256(path.read_bytes()).hexdigest() != expected[name]:
            raise BundleRefusedError(f"{path}: must have the sha256 that card.json gives. Copy the bundle again.")


def check(folder: Path) -> float:
    """The largest gap to the outputs in reference.npz, over batches of several sizes."""
    model = open_model(folder)
    check_whole(folder, model.card, [entry["file"] for entry in [model.card["model"], *model.card["files"]]])
    with np.load(folder / "reference.npz") as archive:
        reference = dict(archive)
    batches = np.split(reference["x"], np.cumsum(BATCH_SIZES))
    parts = [model.predict(batch) for batch in batches if len(batch)]
    largest = 0.0
    for name in model.card["outputs"]:
        gap = np.abs(np.concatenate([part[name] for part in parts]) - reference[name])
        if not (gap <= TOLERANCE * np.maximum(1, np.abs(reference[name]))).all():  # true of NaN, too
            raise BundleRefusedError(
                f"{name} must be within {TOLERANCE:g} of reference.npz, but differs by {gap.max():g}."
            )
        largest = max(largest, float(gap.max()))
    return largest


def main(arguments: list[str] | None = None) -> None:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", type=Path, help="a .npz file with x, and y if it is known")
    parser.add_argument("--out", type=Path, help="write all predictions here, as .csv or .npz")
    parser.add_argument("--check", action="store_true", help="check the bundle itself")
    asked = parser.parse_args(arguments)
    folder = Path(__file__).absolute().parent
    if asked.data is None and not asked.check:
        parser.error("name a .npz file, or say --check")
    try:
        if asked.check:
            print(f"all files are whole; predictions differ by {check(folder):.1e} from those at export")
        if asked.data is not None:
            _predict(open_model(folder), asked.data, asked.out)
    except (BundleRefusedError, OSError, KeyError, ValueError) as error:
        sys.exit(f"error: {error}")


def _predict(model: Model, data: Path, out: Path | None) -> None:
    with np.load(data) as archive:
        x, labels = archive["x"], archive.get("y")
    outputs = model.predict(x)
    classes = outputs["log_probs"].argmax(1)
    if labels is not None:
        of_labels = outputs["log_probs"][np.arange(len(labels)), labels]
        print(f"accuracy {(classes == labels).mean():.6f}\nnll {-of_labels.mean(dtype=np.float64):.6f}")
    if out is None:
        print("classes", *classes)
    elif out.suffix == ".npz":
        np.savez_compressed(out, allow_pickle=False, **outputs)
    else:
        _write_csv(out, classes, outputs)


def _write_csv(out: Path, classes: np.ndarray, outputs: dict[str, np.ndarray]) -> None:
    num_classes = outputs["log_probs"].shape[1]
    singles = {name: values for name, values in outputs.items() if name != "log_probs"}
    with out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["class", *singles, *(f"log_prob_{number}" for number in range(num_classes))])
        columns = [classes, *singles.values(), *outputs["log_probs"].T]
        writer.writerows(zip(*(column.tolist() for column in columns), strict=True))


if __name__ == "__main__":
    main()
