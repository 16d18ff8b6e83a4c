"""How sweeps share the slots of a cluster: weighted max-min fairness of what each needs most of, in whole segments."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

TURN_S = 60.0
"""Where there are more sweeps than slots, whoever has one keeps it for so long; a new worker takes seconds."""
EXPIRY_S = 15.0
"""A claim that nobody has renewed for so long is given up: its driver is gone."""
BESIDE = "/"
"""Ends the name of a sweep, where it claims another kind of slot too: each kind has a share of its own."""
ROUNDING = 1e-9
"""Ten times a tenth of a GPU is a GPU."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What a sweep asks of the cluster."""

    priority: float
    """Its weight: a sweep of priority 2 gets twice the slots of one of priority 1, while both want more."""
    needs: Mapping[str, float]
    """What each worker of a segment is given of one node, by kind; all above 0."""
    workers: int = 1
    """Of one segment, on one node or on several."""
    wanted: int
    """Segments that it would train at once."""
    kept: int = 0
    """Slots that it holds, resting workers among them, for which it has first refusal where nobody wants them."""


@dataclass(frozen=True, kw_only=True)
class Stake:
    """A claim, and how it has fared."""

    claim: Claim
    is_served: bool = False
    """Whether it has slots."""
    since_s: float = 0.0
    """For how long it has had some, or none."""


@dataclass(frozen=True, kw_only=True)
class Allowance:
    """What a sweep is told."""

    num: int
    """Segments that it may have with workers; 0 while it waits for its turn."""
    num_sweeps: int
    """That share the cluster."""


def allot(stakes: Sequence[Stake], nodes: Sequence[Mapping[str, float]]) -> list[int]:
    """Segments that each sweep may have with workers, by progressive filling.

    Segment after segment goes to the sweep that has least of what it needs most of, over its priority (dominant
    resource fairness, Ghodsi et al. 2011, with weights), if a node has room for it. So each gets one where there is
    room for as many. Otherwise the first go by turns: to whoever has had one for less than `TURN_S`, then by priority,
    which grows by its own amount with every turn that a sweep has waited, then by age.

    Args:
        stakes: the oldest first.
        nodes: what each offers, by kind.
    """
    room = _Room([stake.claim for stake in stakes], nodes)
    nums = [0] * len(stakes)
    for limits in ([stake.claim.wanted for stake in stakes], [stake.claim.kept for stake in stakes]):
        hungry = {k for k, limit in enumerate(limits) if nums[k] < limit}
        while hungry:
            k = min(hungry, key=lambda k: (nums[k] * room.dominant[k] / stakes[k].claim.priority, _turn(stakes[k]), k))
            taken = room.take(k)
            nums[k] += taken
            if not taken or nums[k] == limits[k]:
                hungry.remove(k)
    return nums


def _turn(stake: Stake) -> tuple[bool, float]:
    """Smallest for whoever is to have its first segment first."""
    is_in_turn = stake.is_served and stake.since_s < TURN_S
    num_waited = 0.0 if stake.is_served else stake.since_s / TURN_S
    return not is_in_turn, -stake.claim.priority * (1 + num_waited)


@final
class _Room:
    """What is left of each node; one that has no room for a segment never has any again, and is not asked again."""

    def __init__(self, claims: Sequence[Claim], nodes: Sequence[Mapping[str, float]]) -> None:
        totals = {kind: sum(node.get(kind, 0.0) for node in nodes) for claim in claims for kind in claim.needs}
        self.dominant = [
            claim.workers * max(need / max(totals[kind], need) for kind, need in claim.needs.items())
            for claim in claims
        ]
        """Share of the whole cluster that one segment takes of what it takes most of."""
        self._claims = claims
        self._free = [dict(node) for node in sorted(nodes, key=lambda node: node.get("GPU", 0.0))]
        self._at = [0] * len(claims)

    def take(self, k: int) -> bool:
        """Place one segment of the `k`-th sweep, if it has room; one without a GPU where there are none, if it can."""
        placed: list[dict[str, float]] = []
        for _ in range(self._claims[k].workers):
            free = self._place(k)
            if free is None:
                for taken in placed:
                    taken.update({kind: taken[kind] + need for kind, need in self._claims[k].needs.items()})
                return False
            placed.append(free)
        return True

    def _place(self, k: int) -> dict[str, float] | None:
        """Where a worker of the `k`-th sweep has found room; none if it has not."""
        needs = self._claims[k].needs
        while self._at[k] < len(self._free):
            free = self._free[self._at[k]]
            if all(free.get(kind, 0.0) >= need - ROUNDING for kind, need in needs.items()):
                free.update({kind: free[kind] - need for kind, need in needs.items()})
                return free
            self._at[k] += 1
        return None


@dataclass
class _Member:
    """A sweep that is there."""

    claim: Claim
    since_s: float
    """When it came, or was last given slots or none."""
    renewed_s: float
    num: int = 0


@final
class Commons:
    """Remembers who claims what, and since when."""

    def __init__(self) -> None:
        """Nobody is there."""
        self._members: dict[str, _Member] = {}  # the oldest first

    def claim(self, name: str, claim: Claim, nodes: Sequence[Mapping[str, float]], now_s: float) -> Allowance:
        """Take in what a sweep claims from now on, and tell what it may have."""
        member = self._members.setdefault(name, _Member(claim, now_s, now_s))
        member.claim, member.renewed_s = claim, now_s
        for gone in [other for other, each in self._members.items() if now_s - each.renewed_s > EXPIRY_S]:
            del self._members[gone]
        stakes = [
            Stake(claim=each.claim, is_served=each.num > 0, since_s=now_s - each.since_s)
            for each in self._members.values()
        ]
        nums = allot(stakes, nodes)
        for each, num in zip(self._members.values(), nums, strict=True):
            if (num > 0) != (each.num > 0):
                each.since_s = now_s
            each.num = num
        return Allowance(num=member.num, num_sweeps=len({each.rstrip(BESIDE) for each in self._members}))

    def leave(self, name: str) -> None:
        """A sweep is over."""
        self._members.pop(name, None)
