"""How many segments a Ray cluster holds at once."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import ray

from hpo.errors import ResourceError

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Portion:
    """What a segment is given."""

    cpus: float = 1
    """Of one node."""
    gpus: float = 0
    """Of the same node, may be a fraction."""
    workers: int = 1
    """That are each given as much, on one node or on several."""

    @property
    def needs(self) -> dict[str, float]:
        """Of each worker, by Ray's names; what it needs none of is left out."""
        return {kind: need for kind, need in (("CPU", self.cpus), ("GPU", self.gpus)) if need > 0}

    @property
    def num_threads(self) -> int:
        """Of each worker."""
        return max(1, int(self.cpus))


def check(portion: Portion, *, autoscaling: bool = False) -> None:
    """Hold what a segment is given against the nodes that there are.

    Args:
        portion: that it is given.
        autoscaling: whether the cluster starts nodes on demand: then a node that is large enough may be yet to come.

    Raises:
        ResourceError: if today's nodes hold none, and none will be started for one.
    """
    nodes, num = live_nodes(), _num_workers_held(portion)
    if num >= portion.workers:
        return
    ask = f"cpus={portion.cpus:g} and gpus={portion.gpus:g}"
    if num > 0:
        lack = f"resources: the cluster must hold workers={portion.workers} with {ask} each, but holds {num}."
        remedy = "Ask for fewer, or for less; or join more nodes"
    else:
        most = {kind: max((node.get(kind, 0) for node in nodes), default=0) for kind in ("CPU", "GPU")}
        lack = (
            f"resources: a node must offer {ask}, but the largest of {len(nodes)} has {most['CPU']:g} CPUs and "
            f"{most['GPU']:g} GPUs."
        )
        remedy = "Ask for less, or join a larger node"
    if not autoscaling:
        raise ResourceError(f"{lack} {remedy}; or set resources.autoscaling, if the cluster starts nodes on demand.")
    logger.warning("%s The sweep waits for the cluster to start more.", lack)


def num_slots(portion: Portion, max_concurrent: int | None, *, autoscaling: bool = False) -> int:
    """Segments at once, as of now; one where every node has left that holds any, for it may come back.

    Args:
        portion: that each is given.
        max_concurrent: at most; needed where the cluster starts nodes on demand, and is then the answer.
        autoscaling: whether it does.
    """
    if autoscaling:
        assert max_concurrent is not None
        return max_concurrent
    num = max(1, _num_workers_held(portion) // portion.workers)
    return min(num, max_concurrent or num)


def num_beside(portion: Portion, other: Portion, num: int) -> int:
    """Segments at once in what `num` segments of another portion leave; each with one worker."""
    nodes = [dict(node) for node in live_nodes()]
    for node in sorted(nodes, key=lambda node: node.get("GPU", 0)):
        taken = min(num, _num_on(node, other))
        num -= taken
        node.update({kind: node.get(kind, 0) - taken * need for kind, need in other.needs.items()})
    return sum(_num_on(node, portion) for node in nodes)


def lacks_cores_alone(portion: Portion) -> bool:
    """Whether whatever else it needs is free somewhere."""
    free = ray.available_resources()
    return all(free.get(kind, 0) >= need for kind, need in portion.needs.items() if kind != "CPU")


def live_nodes() -> list[Mapping[str, float]]:
    """What each node offers in all, by Ray's names."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def unmet(num: int, portion: Portion) -> str:
    """What `num` segments need to begin, and how much of it is free."""
    nodes, needs = live_nodes(), portion.needs
    whom = f"a worker with cpus={portion.cpus:g} and gpus={portion.gpus:g}"
    if portion.workers > 1:
        whom = f"{portion.workers} workers with cpus={portion.cpus:g} and gpus={portion.gpus:g} each"
    who = f"{num} {'segment waits' if num == 1 else 'segments wait'} for {whom}"
    if not any(all(node.get(kind, 0) >= need for kind, need in needs.items()) for node in nodes):
        return f"{who}, for which none of the cluster's nodes ({len(nodes)}) is large enough"
    free = ray.available_resources()
    of_all = [f"{free.get(kind, 0):g} of {sum(node.get(kind, 0) for node in nodes):g} {kind}s" for kind in needs]
    return f"{who}; the cluster has {' and '.join(of_all)} free"


def _num_workers_held(portion: Portion) -> int:
    """By today's nodes, if they hold nothing else."""
    return sum(_num_on(node, portion) for node in live_nodes())


def _num_on(node: Mapping[str, float], portion: Portion) -> int:
    return int(min(*(node.get(kind, 0) / need for kind, need in portion.needs.items()), 1e6))
