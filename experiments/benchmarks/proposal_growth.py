"""How the driver's time for a trial grows with the number of trials, over curves that cost nothing."""

import tempfile
import time
from pathlib import Path

import numpy as np

from hpo.curves import Table
from hpo.scheduling import Budget, Scheduler
from hpo.search.samplers import Random
from hpo.simulation import Simulation, simulate
from hpo.spaces import Uniform

NUM_CURVES, NUM_EPOCHS = 200, 9
NUM_SLOTS = 4


def seconds_per_trial(scheduler: Scheduler, num_trials: int) -> float:
    """Processor time of a whole simulated search at random: study, scheduler, packing, driver and progress."""
    with tempfile.TemporaryDirectory() as folder:
        simulation = Simulation(
            curves=curves(Path(folder)),
            space={"quality": Uniform(min=0.0, max=1.0)},
            epochs=NUM_EPOCHS,
            sampler=Random(),
            scheduler=scheduler,
            budget=Budget(trials=num_trials),
            num_slots=NUM_SLOTS,
        )
        started = time.process_time()
        simulate(simulation, Path(folder))
        return (time.process_time() - started) / num_trials


def curves(folder: Path) -> Table:
    path = folder / "curves.csv"
    qualities = np.linspace(0, 1, NUM_CURVES)
    lines = [[quality, *(quality - 0.3 / epoch for epoch in range(1, NUM_EPOCHS + 1))] for quality in qualities]
    header = ["quality", *(f"epoch_{epoch}" for epoch in range(1, NUM_EPOCHS + 1))]
    path.write_text("\n".join(",".join(map(str, line)) for line in [header, *lines]), encoding="utf-8")
    return Table(path=path)
