"""The figures of the search benchmark: regret and rank over budget, as a table and a plot."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

NUM_RESAMPLES = 2000

Trace = Sequence[tuple[float, float]]


@dataclass(frozen=True, kw_only=True)
class Run:
    """What one method came to on one task with one seed."""

    method: str
    task: str
    seed: int
    regrets: Trace
    """Normalised regret of the best so far, by epochs of budget, where it falls."""

    def at(self, budget: float) -> float:
        """Regret when `budget` epochs are spent; that of a typical random draw before anything was measured."""
        num_known = bisect_right(self.regrets, budget, key=lambda point: point[0])
        return self.regrets[num_known - 1][1] if num_known else 1.0


def regrets(runs: Sequence[Run], budgets: Sequence[float]) -> dict[str, NDArray[np.float64]]:
    """By method, [tasks, seeds, budgets], of the tasks and seeds that all methods have run.

    Raises:
        ValueError: if the tasks that remain do not have the same seeds.
    """
    methods = list(dict.fromkeys(run.method for run in runs))
    found = {(run.method, run.task, run.seed): run for run in runs}
    shared = [(run.task, run.seed) for run in runs if all((m, run.task, run.seed) in found for m in methods)]
    tasks, seeds = (list(dict.fromkeys(pair[k] for pair in shared)) for k in (0, 1))
    if len(set(shared)) != len(tasks) * len(seeds):
        raise ValueError(f"every task must have the same seeds, but {len(set(shared))} runs are no grid. Run the rest.")
    return {
        method: np.array(
            [[[found[method, task, seed].at(budget) for budget in budgets] for seed in seeds] for task in tasks]
        )
        for method in methods
    }


def mean_ranks(by_method: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    """[methods, budgets], from 1; equals share the mean of their ranks."""
    values = np.stack(list(by_method.values()))
    others = values[None]
    lower, equal = (others < values[:, None]).sum(1), (others == values[:, None]).sum(1)
    ranks: NDArray[np.float64] = (1 + lower + (equal - 1) / 2).mean(axis=(1, 2))
    return ranks


def interval(values: NDArray[np.float64], generator: np.random.Generator) -> NDArray[np.float64]:
    """[2, budgets]: of the mean of `values` [tasks, seeds, budgets], 95 %, the seeds of each task drawn again."""
    num_tasks, num_seeds, _ = values.shape
    drawn = generator.integers(0, num_seeds, (NUM_RESAMPLES, num_tasks, num_seeds))
    means = np.stack([values[np.arange(num_tasks)[:, None], chosen].mean(axis=(0, 1)) for chosen in drawn])
    ends: NDArray[np.float64] = np.quantile(means, [0.025, 0.975], axis=0)
    return ends


def as_markdown(runs: Sequence[Run], budgets: Sequence[int]) -> str:
    """A row for each method, the best after all of the budget first."""
    by_method = regrets(runs, budgets)
    ranks = dict(zip(by_method, mean_ranks(by_method), strict=True))
    generator = np.random.default_rng(0)
    rows = []
    for method in sorted(by_method, key=lambda method: float(by_method[method][:, :, -1].mean())):
        means, (low, high) = by_method[method].mean(axis=(0, 1)), interval(by_method[method], generator)
        cells = [f"{m:.3f} ({a:.3f} - {b:.3f})" for m, a, b in zip(means, low, high, strict=True)]
        rows.append([method, *cells, *(f"{rank:.2f}" for rank in ranks[method])])
    head = ["method", *(f"regret at {budget}" for budget in budgets), *(f"rank at {budget}" for budget in budgets)]
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def plot(runs: Sequence[Run], num_epochs: int, path: Path) -> None:
    """Mean regret and mean rank over the budget."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - the table needs no plots

    budgets = np.unique(np.geomspace(min(20, num_epochs), num_epochs, 60).round())
    by_method = regrets(runs, budgets.tolist())
    figure = Figure(figsize=(13, 5), layout="constrained")
    left, right = figure.subplots(1, 2)
    generator = np.random.default_rng(0)
    for (method, values), ranks in zip(by_method.items(), mean_ranks(by_method), strict=True):
        [line] = left.plot(budgets, values.mean(axis=(0, 1)), label=method)
        left.fill_between(budgets, *interval(values, generator), color=line.get_color(), alpha=0.15, linewidth=0)
        right.plot(budgets, ranks, color=line.get_color())
    left.set(xlabel="epochs of budget", ylabel="normalised regret", xscale="log")
    right.set(xlabel="epochs of budget", ylabel="mean rank", xscale="log")
    figure.legend(loc="outside right center")
    figure.savefig(path, dpi=120)
