"""What every peer of the search benchmark speaks: one JSON object per line, on standard input and output.

The benchmark says `{"begin": {...}}` once, with the fields of `Task`. Then `{"ask": true}`, which is answered by a job
(`{"trial_id": 3, "params": {...}, "to_epoch": 9}`) or by `null` while there is none; and `{"tell": [3, 9, -0.71]}` for
each epoch of a job, which is not answered. Needs nothing but Python, for a peer lives in an environment of its own.
"""

import json
import random
import sys
from collections import deque
from collections.abc import Callable, Hashable, Mapping
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass
from typing import Any, Protocol


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is searched, how, and for whom."""

    variant: str
    """Which of the program's ways to search; empty where it has only one."""
    space: Mapping[str, Mapping[str, Any]]
    """By name: `distribution` is uniform, loguniform, randint (with min and max, both included) or choice (values)."""
    num_epochs: int
    """Full length of a trial."""
    num_workers: int
    """Trials that train at once."""
    seed: int


@dataclass(frozen=True, kw_only=True)
class Job:
    """Training of one trial up to an epoch, from where it stood."""

    trial_id: int
    params: Mapping[str, Any]
    to_epoch: int


class Peer(Protocol):
    """A way to search."""

    def suggest(self) -> Job | None:
        """What to train next; none while a running job must end first."""

    def observe(self, trial_id: int, epoch: int, cost: float) -> None:
        """A trial was measured; lower is better. Every epoch of a job is told, in order."""


class Stopping:
    """A peer that says after each epoch whether a trial goes on.

    Args:
        begin: a new trial's params, by its number.
        goes_on: told trial, epoch and cost after each epoch, the last one too.
        num_epochs: full length of a trial.
    """

    def __init__(
        self,
        begin: Callable[[int], Mapping[str, Any]],
        goes_on: Callable[[int, int, float], bool],
        num_epochs: int,
    ) -> None:
        self._begin = begin
        self._goes_on = goes_on
        self._num_epochs = num_epochs
        self._params: list[Mapping[str, Any]] = []
        self._waiting: deque[tuple[int, int]] = deque()

    def suggest(self) -> Job:
        if self._waiting:
            trial_id, epoch = self._waiting.popleft()
        else:
            trial_id, epoch = len(self._params), 0
            self._params.append(self._begin(trial_id))
        return Job(trial_id=trial_id, params=self._params[trial_id], to_epoch=epoch + 1)

    def observe(self, trial_id: int, epoch: int, cost: float) -> None:
        if self._goes_on(trial_id, epoch, cost) and epoch < self._num_epochs:
            self._waiting.append((trial_id, epoch))


class Budgeted:
    """A peer that asks for configurations at budgets; one that was trained before goes on from where it stood.

    Args:
        ask: a configuration: what is equal for equal ones, its params, the epoch to train to, and a token.
        tell: told the token and the cost.
    """

    def __init__(
        self, ask: Callable[[], tuple[Hashable, Mapping[str, Any], int, Any]], tell: Callable[[Any, float], None]
    ) -> None:
        self._ask = ask
        self._tell = tell
        self._trial_ids: dict[Hashable, int] = {}
        self._costs: dict[tuple[int, int], float] = {}
        self._tokens: dict[tuple[int, int], Any] = {}

    def suggest(self) -> Job:
        while True:
            key, params, epoch, token = self._ask()
            trial_id = self._trial_ids.setdefault(key, len(self._trial_ids))
            if (trial_id, epoch) not in self._costs:
                self._tokens[trial_id, epoch] = token
                return Job(trial_id=trial_id, params=params, to_epoch=epoch)
            self._tell(token, self._costs[trial_id, epoch])

    def observe(self, trial_id: int, epoch: int, cost: float) -> None:
        self._costs[trial_id, epoch] = cost
        if (trial_id, epoch) in self._tokens:
            self._tell(self._tokens.pop((trial_id, epoch)), cost)


def serve(make: Callable[[Task], Peer]) -> None:
    """Answer until the input ends."""
    answers = sys.stdout
    with redirect_stdout(sys.stderr):  # libraries print
        peer: Peer | None = None
        for line in sys.stdin:
            match json.loads(line):
                case {"begin": fields}:
                    peer = make(Task(**fields))
                case {"ask": True} if peer is not None:
                    job = peer.suggest()
                    print(json.dumps(job and asdict(job)), file=answers, flush=True)
                case {"tell": [trial_id, epoch, cost]} if peer is not None:
                    peer.observe(trial_id, epoch, cost)
                case other:
                    raise ValueError(f"a message must be begin, then ask or tell, but is {other}.")


def draw(domain: Mapping[str, Any], generator: random.Random) -> Any:
    """A value at random."""
    match domain["distribution"]:
        case "uniform":
            return generator.uniform(domain["min"], domain["max"])
        case "loguniform":
            return domain["min"] * (domain["max"] / domain["min"]) ** generator.random()
        case "randint":
            return generator.randint(domain["min"], domain["max"])
        case "choice":
            return generator.choice(domain["values"])
    raise ValueError(f"a domain must be uniform, loguniform, randint or choice, but is {domain}.")
