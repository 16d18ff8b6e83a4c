"""Trial-epochs per second: lanes against solo, and against several processes that train solo.

    python experiments/benchmarks/lanes.py
    python experiments/benchmarks/lanes.py --device cuda --out lanes_gpu.md

It times the programs that sweeps use, on random examples. All forms of a net take turns, and a figure is the median of
their rounds. On a CPU every process has one thread, and seconds are those of its processor time, so that a busy machine
matters less; on a GPU they are wall time. Prints one table, and writes it to lanes.md beside this file.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from processes import Processes, open_processes
from rich.console import Console
from rich.progress import track
from rich.table import Table

from hpo.training.choice import LaneChoice, make_program
from hpo.training.examples import TrainingData
from hpo.training.luck import Luck
from hpo.training.models import Cnn, Custom, Mlp, Model
from hpo.training.optimizers import Sgd
from hpo.training.program import Program, initial_state
from hpo.training.recipe import Recipe

HERE = Path(__file__).resolve().parent
NUM_EXAMPLES = 2048
"""In an epoch."""
COHORT = 64
"""Trials of one signature that wait to be trained, when a sweep chooses."""
DIGITS, FASHION = (1, 8, 8), (1, 28, 28)
NETS: Mapping[str, tuple[Model, tuple[int, ...]]] = {
    "MLP 64-128-10": (Mlp(hidden=(128,)), DIGITS),
    "MLP 64-256-256-10": (Mlp(hidden=(256, 256)), DIGITS),
    "CNN with batch norm": (Cnn(), FASHION),
    "ResNet-8 (a user's)": (Custom(factory="resnet:make"), FASHION),
}
BATCH_SIZES = (32, 128, 512)


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How long to measure."""

    most_lanes: int
    num_rounds: int
    seconds: float
    """Of each measurement, about."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """Trial-epochs per second of one net at one batch size."""

    net: str
    batch_size: int
    lanes: Mapping[int, float]
    """By number of lanes; 1 is solo."""
    processes: Mapping[int, float]
    """By number of processes, all of them together."""
    auto: int
    """Lanes that a sweep would choose."""
    probe_s: float
    """What choosing took."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--nets", nargs="+", choices=NETS, default=list(NETS))
    parser.add_argument("--batch-sizes", nargs="+", type=int, default=list(BATCH_SIZES))
    parser.add_argument("--quick", action="store_true", help="see whether it runs; the figures mean nothing")
    parser.add_argument("--out", type=Path, default=HERE / "lanes.md")
    args = parser.parse_args()
    device = torch.device(args.device)
    torch.set_num_threads(1)
    effort = Effort(most_lanes=256 if args.device == "cuda" else 64, num_rounds=5, seconds=0.25)
    if args.quick:
        effort = Effort(most_lanes=4, num_rounds=1, seconds=0.01)
    cases = [(net, batch_size) for net in args.nets for batch_size in args.batch_sizes]
    with open_processes(device, is_quick=args.quick) as processes:
        rows = [
            measure(net, batch_size, device, processes, effort)
            for net, batch_size in track(cases, "measuring", console=Console(stderr=True))
        ]
        kind = processes.kind
    Console(width=max(Console().width, 160)).print(as_table(rows))
    args.out.write_text(as_markdown(rows, device, kind), encoding="utf-8")


def measure(net: str, batch_size: int, device: torch.device, processes: Processes, effort: Effort) -> Row:
    """One row of the table."""
    recipe, data = make_recipe(net, batch_size), make_data(net, device)
    state = initial_state(recipe, data, 0, 0)
    clock = clock_of(device)
    started = clock()
    auto = LaneChoice("auto", data).for_group([recipe] * COHORT, [state] * COHORT)
    probe_s = clock() - started
    forms = {lanes: enough(recipe, data, lanes, clock, effort.seconds) for lanes in (1, auto)}
    forms |= rising(recipe, data, clock, effort)
    alone: dict[int, list[float]] = {lanes: [] for lanes in sorted(forms)}
    together: dict[int, list[float]] = {num: [] for num in processes.numbers}
    for _ in range(effort.num_rounds):
        for lanes, rates in alone.items():
            rates.append(forms[lanes].rate(clock))
        for num, rates in together.items():
            rates.append(processes.measure(num, prepare_solo, net, batch_size, device, effort.seconds))
    return Row(
        net=net,
        batch_size=batch_size,
        lanes={lanes: statistics.median(rates) for lanes, rates in alone.items()},
        processes={num: statistics.median(rates) for num, rates in together.items()},
        auto=auto,
        probe_s=probe_s,
    )


@dataclass(frozen=True)
class Form:
    """A program that is warm, and how much of an epoch it trains at a time."""

    program: Program
    num_trials: int
    share: float

    def rate(self, clock: Callable[[], float]) -> float:
        """Trial-epochs per second."""
        started = clock()
        self.program.train_epoch(1)
        return self.num_trials * self.share / (clock() - started)


def prepare_solo(net: str, batch_size: int, device: torch.device, seconds: float) -> Callable[[], float]:
    """In a process of its own; see `processes`."""
    clock = clock_of(device)
    form = enough(make_recipe(net, batch_size), make_data(net, device), 1, clock, seconds)
    return partial(form.rate, clock)


def make_recipe(net: str, batch_size: int) -> Recipe:
    """With a rate at which random labels do no harm."""
    return Recipe(model=NETS[net][0], optimizer=Sgd(lr=1e-3), batch_size=batch_size)


def make_data(net: str, device: torch.device) -> TrainingData:
    """Random examples of the net's shape."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(NUM_EXAMPLES, *NETS[net][1], generator=generator).to(device)
    y = torch.randint(10, (NUM_EXAMPLES,), generator=generator).to(device)
    return TrainingData(train_x=x, train_y=y, validation_x=x[:64], validation_y=y[:64], num_classes=10)


def enough(recipe: Recipe, data: TrainingData, lanes: int, clock: Callable[[], float], seconds: float) -> Form:
    """So many steps of an epoch that they take about `seconds`."""
    form = make_form(recipe, data, lanes, num_steps=1)
    step_s = form.num_trials * form.share / form.rate(clock)
    num_steps = min(NUM_EXAMPLES // recipe.batch_size, round(seconds / step_s))
    return make_form(recipe, data, lanes, num_steps) if num_steps > 1 else form


def make_form(recipe: Recipe, data: TrainingData, lanes: int, num_steps: int) -> Form:
    """Warmed up."""
    num_examples = num_steps * recipe.batch_size
    part = replace(data, train_x=data.train_x[:num_examples], train_y=data.train_y[:num_examples])
    states = [initial_state(recipe, data, 0, trial_id) for trial_id in range(lanes)]
    program = make_program([recipe] * lanes, part, Luck(0, 0), states)
    program.train_epoch(1)
    return Form(program, lanes, num_examples / NUM_EXAMPLES)


def rising(recipe: Recipe, data: TrainingData, clock: Callable[[], float], effort: Effort) -> dict[int, Form]:
    """2, 4, 8 ... lanes, until two doublings in a row have not helped or the memory is full."""
    forms: dict[int, Form] = {}
    rates: list[float] = []
    while (lanes := 2 ** (len(rates) + 1)) <= effort.most_lanes:
        try:
            forms[lanes] = enough(recipe, data, lanes, clock, effort.seconds)
            rates.append(forms[lanes].rate(clock))
        except torch.OutOfMemoryError:
            break
        if rates.index(max(rates)) < len(rates) - 2:
            break
    return forms


def clock_of(device: torch.device) -> Callable[[], float]:
    """Seconds of this process's processor time, or, where a GPU works, of wall time once it has finished."""

    def finished() -> float:
        torch.cuda.synchronize(device)
        return time.perf_counter()

    return finished if device.type == "cuda" else time.process_time


def as_cells(rows: Sequence[Row]) -> Iterator[list[str]]:
    """A row of headings, then one for each row."""
    counts = sorted({lanes for row in rows for lanes in row.lanes if lanes > 1})
    yield [
        *("net", "batch", "solo", "processes", *(f"{lanes} lanes" for lanes in counts)),
        *("best / solo", "best / processes", "auto", "auto / solo", "probe s"),
    ]
    for row in rows:
        solo, (num, processes) = row.lanes[1], max(row.processes.items(), key=lambda pair: pair[1])
        best = max(row.lanes.values())
        yield [
            *(row.net, str(row.batch_size), f"{solo:.3g}", f"{processes:.3g} ({num})"),
            *(f"{row.lanes[lanes]:.3g}" if lanes in row.lanes else "" for lanes in counts),
            *(f"{best / solo:.2f}", f"{best / processes:.2f}"),
            *(f"{row.auto} lanes" if row.auto > 1 else "solo", f"{row.lanes[row.auto] / solo:.2f}"),
            f"{row.probe_s:.2f}",
        ]


def as_table(rows: Sequence[Row]) -> Table:
    head, *body = as_cells(rows)
    table = Table(*head)
    for column in table.columns[1:]:
        column.justify = "right"
    for cells in body:
        table.add_row(*cells)
    return table


def as_markdown(rows: Sequence[Row], device: torch.device, kind: str) -> str:
    head, *body = ("| " + " | ".join(cells) + " |" for cells in as_cells(rows))
    line = "|---" + "|---:" * (head.count("|") - 2) + "|"
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{os.cpu_count()} CPU cores"
    table = "\n".join([head, line, *body])
    return NOTES.format(table=table, where=where, torch=torch.__version__, num_examples=NUM_EXAMPLES, kind=kind)


NOTES = """\
# Lanes

Trial-epochs per second on {where}, torch {torch}, float32, SGD; an epoch has {num_examples} examples.

{table}

- **solo**: trials one after the other in one process, each as plain PyTorch.
- **processes**: {kind}
- **lanes**: so many trials side by side as one program, in one process. Where a column is empty, fewer lanes were best
  or more did not fit.
- **auto**: what a sweep with `lanes: auto` chooses for this net on this device, and what choosing took.

Again: `python experiments/benchmarks/lanes.py`
"""

if __name__ == "__main__":
    main()
