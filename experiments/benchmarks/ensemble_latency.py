"""An ensemble of five convolutional nets for Fashion-MNIST, exported: does it say the same, and how fast?

    python experiments/benchmarks/ensemble_latency.py

Five nets of different widths, depths and activations are trained for a short while, and leave as one bundle. Its
predict.py then predicts the 10 000 test images in a process that cannot import torch. Time is measured in one thread:
ONNX Runtime, the exported model in torch, and the members in eager torch one after the other, whose probabilities are
averaged, take turns, and a ratio is that of one turn. Seconds are those of the process's processor time, so that a busy
machine matters less. Prints the figures, and writes them to ensemble_latency.md beside this file.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch.nn import functional

from hpo.export import Member, load_bundle, write_ensemble
from hpo.export.predict import open_model
from hpo.training.data import Examples, Splits
from hpo.training.data.idx import FashionMnist
from hpo.training.models import Cnn

HERE = Path(__file__).resolve().parent
MODELS = (
    Cnn(channels=(16, 32)),
    Cnn(channels=(24, 48), hidden=64),
    Cnn(channels=(16, 32), norm="none", dropout=0.2),
    Cnn(channels=(8, 16, 32), hidden=64),
    Cnn(channels=(16, 32), activation="gelu", norm_position="after"),
)
TEMPERATURE = 1.1
WITHOUT_TORCH = (
    "import runpy, sys; sys.modules.update(torch=None, hpo=None); sys.argv = sys.argv[1:];"
    "runpy.run_path(sys.argv[0], run_name='__main__')"
)
Predict = Callable[[], object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num-train", type=int, default=12_000, help="images, seen once by each net")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1, 64])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--out", type=Path, default=HERE / "ensemble_latency.md")
    args = parser.parse_args()
    torch.set_num_threads(1)
    splits = FashionMnist().load(0)
    members = [train(model, splits, args.num_train, seed) for seed, model in enumerate(MODELS)]
    with tempfile.TemporaryDirectory() as folder:
        bundle = write_ensemble(
            Path(folder) / "ensemble",
            members=members,
            temperature=TEMPERATURE,
            input_shape=splits.raw_shape,
            num_classes=splits.num_classes,
            card={},
        )
        agreement = compare(bundle, members, splits)
        rows = [row(measure(bundle, members, size, args.rounds), size) for size in args.batch_sizes]
        megabytes = {name: (bundle / name).stat().st_size / 1e6 for name in ("model.onnx", "model.pt2")}
    text = as_markdown(agreement, rows, args.rounds, megabytes)
    print(text)
    args.out.write_text(text, encoding="utf-8")


def train(model: Cnn, splits: Splits, num_examples: int, seed: int) -> Member:
    """One short epoch; that the nets are good is not the point here."""
    torch.manual_seed(seed)
    module = model.build(splits.input_shape, splits.num_classes)
    optimizer = torch.optim.AdamW(module.parameters(), lr=2e-3)
    x, y = torch.from_numpy(splits.train.x), torch.from_numpy(splits.train.y)
    for batch in torch.randperm(len(y))[:num_examples].split(64):
        optimizer.zero_grad()
        functional.cross_entropy(module(x[batch]), y[batch]).backward()
        optimizer.step()
    return Member(module=module.eval(), normalization=splits.normalization)


def eager(members: Sequence[Member], x: torch.Tensor) -> torch.Tensor:
    """Raw inputs -> log-probabilities, as one writes it without hpo."""
    scale = members[0].normalization
    normalised = (x - torch.from_numpy(scale.mean)) / torch.from_numpy(scale.std)
    mean = torch.stack([member.module(normalised).softmax(1) for member in members]).mean(0)
    return (mean.log() / TEMPERATURE).log_softmax(1)


def compare(bundle: Path, members: Sequence[Member], splits: Splits) -> str:
    """What predict.py says without torch of the test split, beside what the members say."""
    test = raw_test(splits)
    with torch.inference_mode():
        expected = torch.cat([eager(members, part) for part in torch.from_numpy(test.x).split(256)]).numpy()
    np.savez(bundle.parent / "test.npz", x=test.x, y=test.y)
    command = [sys.executable, "-I", "-c", WITHOUT_TORCH, str(bundle / "predict.py"), str(bundle.parent / "test.npz")]
    subprocess.run([*command, "--out", str(bundle.parent / "out.npz")], check=True, stdout=subprocess.DEVNULL)
    with np.load(bundle.parent / "out.npz") as archive:
        given = archive["log_probs"]
    right = [int((log_probs.argmax(1) == test.y).sum()) for log_probs in (given, expected)]
    return (
        f"{right[0]} of {len(test.y)} test images right without torch, {right[1]} by the members in eager torch; "
        f"{int((given.argmax(1) != expected.argmax(1)).sum())} predicted differently; log-probabilities differ by at "
        f"most {np.abs(given - expected).max():.1e}"
    )


def raw_test(splits: Splits) -> Examples:
    assert splits.test is not None
    return splits.test


def measure(bundle: Path, members: Sequence[Member], batch_size: int, num_rounds: int) -> dict[str, list[float]]:
    """Milliseconds of a batch, by each way in each round."""
    x = np.random.default_rng(0).random((batch_size, 1, 28, 28), dtype=np.float32)
    tensor = torch.from_numpy(x)
    model, exported = open_model(bundle, num_threads=1), load_bundle(bundle).model
    ways: Mapping[str, Predict] = {
        "eager": lambda: eager(members, tensor),
        "model.pt2": lambda: exported(tensor),
        "model.onnx": lambda: model.predict(x),
    }
    num_batches = max(4, 256 // batch_size)
    found: dict[str, list[float]] = {name: [] for name in ways}
    with torch.inference_mode():
        for number in range(num_rounds + 1):
            for name, predict in ways.items():
                started = time.process_time()
                for _ in range(num_batches):
                    predict()
                if number > 0:  # the first is for warming up
                    found[name].append((time.process_time() - started) / num_batches * 1e3)
    return found


def row(found: Mapping[str, Sequence[float]], batch_size: int) -> str:
    cells = [f"{statistics.median(found[name]):.2f}" for name in found]
    ratios = sorted(theirs / ours for theirs, ours in zip(found["eager"], found["model.onnx"], strict=True))
    spread = f"{statistics.median(ratios):.1f} ({ratios[0]:.1f} to {ratios[-1]:.1f})"
    return "| " + " | ".join([str(batch_size), *cells, spread]) + " |"


def as_markdown(agreement: str, rows: Sequence[str], num_rounds: int, megabytes: Mapping[str, float]) -> str:
    return NOTES.format(
        agreement=agreement,
        rows="\n".join(rows),
        num_rounds=num_rounds,
        num_cores=os.cpu_count(),
        capability=torch.backends.cpu.get_cpu_capability(),
        torch=torch.__version__,
        onnxruntime=onnxruntime.__version__,
        megabytes=", ".join(f"{name} {size:.2f} MB" for name, size in megabytes.items()),
    )


NOTES = """\
# An exported ensemble: five convolutional nets, Fashion-MNIST

{agreement}.

Milliseconds of processor time for a batch, in one thread on {num_cores} CPU cores that had other work, too;
{capability}, torch {torch}, onnxruntime {onnxruntime}; {megabytes}. Medians of {num_rounds} rounds in which all took
turns; "times faster" is eager / model.onnx, the median of the rounds' own ratios, and the least and the largest.

| batch | eager, one after the other | model.pt2 | model.onnx | times faster |
|---:|---:|---:|---:|---:|
{rows}

Again: `python experiments/benchmarks/ensemble_latency.py`
"""

if __name__ == "__main__":
    main()
