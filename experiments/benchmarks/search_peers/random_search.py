"""Random search: every trial to the end."""

import random

from serving import Job, Task, draw, serve


class RandomSearch:
    def __init__(self, task: Task) -> None:
        self._task = task
        self._generator = random.Random(task.seed)
        self._num_trials = 0

    def suggest(self) -> Job:
        params = {name: draw(domain, self._generator) for name, domain in self._task.space.items()}
        self._num_trials += 1
        return Job(trial_id=self._num_trials - 1, params=params, to_epoch=self._task.num_epochs)

    def observe(self, trial_id: int, epoch: int, cost: float) -> None:
        """Learn nothing."""


if __name__ == "__main__":
    serve(RandomSearch)
