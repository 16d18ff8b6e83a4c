"""SMAC3's multi-fidelity facade by ask and tell: Hyperband with a random forest, with its own defaults."""

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

from configuration_space import as_params, as_space
from serving import Budgeted, Peer, Task, serve
from smac import MultiFidelityFacade, Scenario
from smac.runhistory import TrialInfo, TrialValue

MOST_TRIALS = 100_000


def make(task: Task) -> Peer:
    scenario = Scenario(
        as_space(task.space),
        min_budget=1,
        max_budget=task.num_epochs,
        n_trials=MOST_TRIALS,
        deterministic=True,
        seed=task.seed,
        output_directory=Path("smac"),
    )
    smac = MultiFidelityFacade(scenario, _never, overwrite=True, logging_level=40)

    def ask() -> tuple[Hashable, Mapping[str, Any], int, TrialInfo]:
        asked = smac.ask()
        return asked.config, as_params(asked.config), round(asked.budget), asked

    def tell(asked: TrialInfo, cost: float) -> None:
        smac.tell(asked, TrialValue(cost=cost))

    return Budgeted(ask, tell)


def _never(config: Mapping[str, Any], seed: int, budget: float) -> float:
    """SMAC wants a function to call, though it is only asked and told."""
    raise NotImplementedError


if __name__ == "__main__":
    serve(make)
