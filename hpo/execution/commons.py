"""The one place in a Ray cluster where its sweeps say what they want, and are told what they may have."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, final
from uuid import uuid4

import ray

from hpo.execution.capacity import live_nodes
from hpo.scheduling.shares import BESIDE, Allowance, Claim, Commons

logger = logging.getLogger(__name__)

NAMESPACE, NAME = "hpo", "commons-1"
"""Of the actor; the number rises with the form of claims and allowances."""
START_S, ANSWER_S = 30.0, 5.0
"""How long it is waited for, the first time and any other."""
LOOK_S = 0.2
"""Between two looks at whether anybody waits still."""


class Office:
    """`Commons` as an actor: without resources, detached from the sweep that has started it, and started again by Ray.

    What it knew then comes back with the next claims, within a second or two.
    """

    def __init__(self) -> None:
        self._commons = Commons()

    def claim(self, name: str, claim: Claim) -> Allowance:
        """See `Commons.claim`; by the clock of the actor's node."""
        return self._commons.claim(name, claim, live_nodes(), time.monotonic())

    def leave(self, name: str) -> None:
        """See `Commons.leave`."""
        self._commons.leave(name)


@final
@dataclass
class Share:
    """One sweep's part in the commons."""

    name: str = field(default_factory=lambda: uuid4().hex)
    allowance: Allowance | None = None
    """As of the last claim; none while the office does not answer, when every slot is taken that is free."""
    is_over: Callable[[], bool] = lambda: False
    """Whether no answer is waited for any more."""
    _office: Any = None

    def beside(self) -> "Share":
        """Of the same sweep, for another kind of slot."""
        return Share(f"{self.name}{BESIDE}")

    def claim(self, claim: Claim) -> Allowance | None:
        """Ask for it. An office that does not answer is told in the log, and asked anew the next time."""
        try:
            self._office, patience_s = (self._office, ANSWER_S) if self._office else (_open(), START_S)
            self.allowance = self._answer(self._office.claim.remote(self.name, claim), patience_s)
        except Exception as error:  # noqa: BLE001 - Ray's have no common base, and none may stop a sweep
            if not self.is_over():
                logger.warning("Who shares the cluster is not known, so this sweep takes what is free: %s", error)
            self._office = self.allowance = None
        return self.allowance

    def _answer(self, asked: Any, patience_s: float) -> Allowance:
        deadline_s = time.monotonic() + patience_s
        while not ray.wait([asked], timeout=LOOK_S)[0]:
            if time.monotonic() > deadline_s or self.is_over():
                raise TimeoutError(f"no answer within {patience_s:g} s")
        allowance: Allowance = ray.get(asked)
        return allowance

    def leave(self) -> None:
        """Give up the claim; one that the office does not hear of expires."""
        if self._office is not None:
            self._office.leave.remote(self.name)
        self._office = self.allowance = None


def _open() -> Any:
    """The office, started by whoever comes first."""
    actor = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=0)(Office)
    return actor.options(name=NAME, namespace=NAMESPACE, lifetime="detached", get_if_exists=True).remote()
