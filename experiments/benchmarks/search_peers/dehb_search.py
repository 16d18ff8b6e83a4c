"""DEHB by ask and tell, with its own defaults."""

from collections.abc import Hashable, Mapping
from typing import Any

from configuration_space import as_params, as_space
from dehb import DEHB
from serving import Budgeted, Peer, Task, serve


def make(task: Task) -> Peer:
    space = as_space(task.space)
    dehb = DEHB(
        f=None,
        cs=space,
        min_fidelity=1,
        max_fidelity=task.num_epochs,
        n_workers=1,
        seed=task.seed,
        output_path="dehb",
        save_freq="end",
    )

    def ask() -> tuple[Hashable, Mapping[str, Any], int, Any]:
        job = dehb.ask()
        return job["config_id"], as_params(job["config"]), round(job["fidelity"]), job

    def tell(job: Any, cost: float) -> None:
        dehb.tell(job, {"fitness": cost, "cost": job["fidelity"]})

    return Budgeted(ask, tell)


if __name__ == "__main__":
    serve(make)
