"""One training step of a small convolutional net: as sweeps do it, as it is often written, and each trick alone.

    python experiments/benchmarks/cnn_step.py

Every form trains the same weights (two blocks of 3x3 convolution, batch norm, ReLU and 2x2 max-pooling, then a dense
head) on random images with random crops and flips, in one thread. The naive form crops and flips one example at a time
in the Dataset of a DataLoader, computes in float32 on contiguous tensors, and pools after norm and activation. A trick
alone is the naive form with that one change; the last form has them all, and is `hpo.training.solo.Solo`. Forms take
turns, a figure is the median of their rounds, and a ratio is that of one round. Seconds are those of the thread's
processor time, so that a busy machine matters less. Prints one table, and writes it to cnn_step.md beside this file.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from hpo.training.augmentations import Augment
from hpo.training.examples import TrainingData
from hpo.training.luck import Luck
from hpo.training.models import Cnn
from hpo.training.optimizers import Sgd
from hpo.training.precision import autocast
from hpo.training.program import initial_state
from hpo.training.recipe import Recipe
from hpo.training.solo import Solo

HERE = Path(__file__).resolve().parent
CPU = torch.device("cpu")
REACH = 2
"""Pixels of random translation."""
Batches = Iterator[tuple[torch.Tensor, torch.Tensor]]
TrainEpoch = Callable[[], object]


@dataclass(frozen=True, kw_only=True)
class Form:
    """What differs between the ways to train; all off is the naive one."""

    batchwise: bool = False
    """Resident tensors that are augmented as a batch, or a DataLoader of single examples."""
    pool_first: bool = False
    channels_last: bool = False
    bfloat16: bool = False


FORMS: Mapping[str, Form] = {
    "naive": Form(),
    "resident tensors, augmented batchwise": Form(batchwise=True),
    "pooling before norm and activation": Form(pool_first=True),
    "channels_last": Form(channels_last=True),
    "bfloat16 products": Form(bfloat16=True),
    "pooling first and channels_last": Form(pool_first=True, channels_last=True),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--channels", type=int, nargs="+", default=[32, 64])
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[64, 256])
    parser.add_argument("--steps", type=int, default=4, help="at a time")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--float32", action="store_true", help="leave bfloat16 out, as where the CPU does not have it")
    parser.add_argument("--out", type=Path, default=HERE / "cnn_step.md")
    args = parser.parse_args()
    torch.set_num_threads(1)
    tables, sections = [], []
    for batch_size in args.batch_sizes:
        model = Cnn(channels=tuple(args.channels))
        seconds = measure(model, batch_size, args.steps, args.rounds, has_bfloat16=not args.float32)
        title = f"Channels {list(model.channels)}, images [1, 28, 28], batch {batch_size}"
        tables.append(as_table(title, seconds))
        sections.append(as_section(title, seconds))
    Console().print(*tables)
    args.out.write_text(as_markdown(sections, args.rounds), encoding="utf-8")


def measure(
    model: Cnn, batch_size: int, num_steps: int, num_rounds: int, *, has_bfloat16: bool
) -> dict[str, list[float]]:
    """Seconds of a step, of each form in each round."""
    data = make_data(num_steps * batch_size)
    recipe = Recipe(
        model=model,
        optimizer=Sgd(lr=1e-3, momentum=0.9),
        augmentation=Augment(flip="random", translate=REACH),
        precision="bfloat16" if has_bfloat16 else "float32",
        batch_size=batch_size,
    )
    asked = {name: form for name, form in FORMS.items() if has_bfloat16 or not form.bfloat16}
    epochs: dict[str, TrainEpoch] = {name: plain_loop(recipe, data, form) for name, form in asked.items()}
    epochs["all of them: Solo"] = solo(recipe, data)
    seconds: dict[str, list[float]] = {name: [] for name in epochs}
    for number in track(range(num_rounds + 1), "measuring", console=Console(stderr=True)):
        for name, train_epoch in epochs.items():
            started = time.thread_time()
            train_epoch()
            if number > 0:  # the first is for warming up
                seconds[name].append((time.thread_time() - started) / num_steps)
    return seconds


def make_data(num_examples: int) -> TrainingData:
    """Random images, normalised."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(num_examples, 1, 28, 28, generator=generator)
    y = torch.randint(10, (num_examples,), generator=generator)
    return TrainingData(train_x=x, train_y=y, validation_x=x[:1], validation_y=y[:1], num_classes=10)


def solo(recipe: Recipe, data: TrainingData) -> TrainEpoch:
    """What a trial does."""
    program = Solo(recipe, data, Luck(0, 0), initial_state(recipe, data, 0, 0))
    return lambda: program.train_epoch(1)


def plain_loop(recipe: Recipe, data: TrainingData, form: Form) -> TrainEpoch:
    """What one writes without hpo."""
    module = recipe.model.build(data.input_shape, data.num_classes)
    module.load_state_dict(initial_state(recipe, data, 0, 0).module)
    network = module if form.pool_first else pooling_last(module)
    if form.channels_last:
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.SGD(network.parameters(), lr=recipe.optimizer.lr, momentum=0.9)

    def train_epoch() -> None:
        batches = resident(recipe, data) if form.batchwise else loaded(recipe, data)
        for x, y in batches:
            laid_out = x.contiguous(memory_format=torch.channels_last) if form.channels_last else x
            optimizer.zero_grad()
            with autocast("bfloat16" if form.bfloat16 else "float32", CPU):
                logits = network(laid_out)
                loss = functional.cross_entropy(logits, y)
            loss.backward()
            optimizer.step()

    return train_epoch


def pooling_last(module: nn.Module) -> nn.Sequential:
    """The same layers, with every pooling two places later: after norm and activation."""
    layers = list(module.children())
    for place in [place for place, layer in enumerate(layers) if isinstance(layer, nn.MaxPool2d)]:
        layers.insert(place + 2, layers.pop(place))
    return nn.Sequential(*layers)


def resident(recipe: Recipe, data: TrainingData) -> Batches:
    """Whole batches, cut out of one tensor."""
    for indices in torch.randperm(len(data.train_y)).split(recipe.batch_size):
        yield recipe.augmentation.apply(data.train_x[indices], 1, indices), data.train_y[indices]


def loaded(recipe: Recipe, data: TrainingData) -> Batches:
    """From a DataLoader, in this process."""
    yield from DataLoader(Augmented(data), batch_size=recipe.batch_size, shuffle=True)


class Augmented(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Examples that are flipped and cropped one by one."""

    def __init__(self, data: TrainingData) -> None:
        self._data = data

    def __len__(self) -> int:
        return len(self._data.train_y)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        x = self._data.train_x[index]
        if torch.rand(()) < 0.5:
            x = x.flip(-1)
        padded = functional.pad(x, (REACH,) * 4, mode="reflect")
        down, right = torch.randint(2 * REACH + 1, (2,)).tolist()
        return padded[:, down : down + x.shape[1], right : right + x.shape[2]], self._data.train_y[index]


def as_cells(seconds: Mapping[str, Sequence[float]]) -> Iterator[list[str]]:
    """A row of headings, then one for each form."""
    yield ["", "ms a step", "times faster", "from", "to"]
    for name, rounds in seconds.items():
        ratios = sorted(naive / ours for naive, ours in zip(seconds["naive"], rounds, strict=True))
        middle = statistics.median(ratios)
        yield [name, f"{statistics.median(rounds) * 1e3:.1f}", *(f"{x:.2f}" for x in (middle, ratios[0], ratios[-1]))]


def as_table(title: str, seconds: Mapping[str, Sequence[float]]) -> Table:
    head, *body = as_cells(seconds)
    table = Table(*head, title=title)
    for column in table.columns[1:]:
        column.justify = "right"
    for cells in body:
        table.add_row(*cells)
    return table


def as_section(title: str, seconds: Mapping[str, Sequence[float]]) -> str:
    head, *body = ("| " + " | ".join(cells) + " |" for cells in as_cells(seconds))
    return "\n".join([f"## {title}", "", head, "|---" + "|---:" * (head.count("|") - 2) + "|", *body])


def as_markdown(sections: Sequence[str], num_rounds: int) -> str:
    return NOTES.format(
        sections="\n\n".join(sections),
        num_rounds=num_rounds,
        num_cores=os.cpu_count(),
        capability=torch.backends.cpu.get_cpu_capability(),
        bfloat16="with" if torch.cpu._is_avx512_bf16_supported() else "without",
        torch=torch.__version__,
    )


NOTES = """\
# One step of a convolutional net

Processor time of one thread on {num_cores} CPU cores that had other work, too; {capability}, {bfloat16} bfloat16
products; torch {torch}. Every form took its turn in each of {num_rounds} rounds; milliseconds are medians, "times
faster" is the median of the rounds' own ratios to the naive form, and "from" and "to" are the least and the largest.

{sections}

- **naive**: examples cropped and flipped one by one in a DataLoader, float32, contiguous, pooling after norm and
  activation. No file is read and no image decoded, which would cost more.
- The rows after it change what they name, and nothing else.
- **all of them: Solo** is what a trial of a sweep does; bfloat16 products have to be asked for, by `precision:
  bfloat16`. A CPU without them emulates them: with `ONEDNN_MAX_CPU_ISA=AVX512_CORE` on the same machine a step took 1.3
  times as long as in float32, and with `AVX2` 9 times.

Pooling before a monotone activation is exact; before batch norm it makes another network, about as good (Page 2018).

Again: `python experiments/benchmarks/cnn_step.py`
"""

if __name__ == "__main__":
    main()
