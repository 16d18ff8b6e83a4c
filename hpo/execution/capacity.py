"""How many segments a Ray cluster holds at once."""

import logging

import ray

from hpo.errors import ResourceError

logger = logging.getLogger(__name__)


def check(cpus: float, gpus: float, *, autoscaling: bool = False) -> None:
    """Hold what a segment is given against the nodes that there are.

    Args:
        cpus: of one node.
        gpus: of the same node, may be a fraction.
        autoscaling: whether the cluster starts nodes on demand: then a node that is large enough may be yet to come.

    Raises:
        ResourceError: if no node holds a segment, and none will be started for one.
    """
    if num_held(cpus, gpus) > 0:
        return
    nodes = live_nodes()
    most = {kind: max((node.get(kind, 0) for node in nodes), default=0) for kind in ("CPU", "GPU")}
    lack = (
        f"resources: a node must offer cpus={cpus:g} and gpus={gpus:g}, but the largest of {len(nodes)} has "
        f"{most['CPU']:g} CPUs and {most['GPU']:g} GPUs."
    )
    if not autoscaling:
        raise ResourceError(
            f"{lack} Ask for less, or join a larger node; or set resources.autoscaling, if the cluster starts "
            "nodes on demand."
        )
    logger.warning("%s The sweep waits for the cluster to start one.", lack)


def num_slots(cpus: float, gpus: float, max_concurrent: int | None, *, autoscaling: bool = False) -> int:
    """Segments at once, as of now; one where every node has left that holds any, for it may come back.

    Args:
        cpus: see `check`.
        gpus: likewise.
        max_concurrent: at most; needed where the cluster starts nodes on demand, and is then the answer.
        autoscaling: whether it does.
    """
    if autoscaling:
        assert max_concurrent is not None
        return max_concurrent
    num = max(1, num_held(cpus, gpus))
    return min(num, max_concurrent or num)


def num_held(cpus: float, gpus: float) -> int:
    """Segments, each given `cpus` and `gpus` of one node, that today's nodes hold if they hold nothing else."""
    needs = {kind: need for kind, need in (("CPU", cpus), ("GPU", gpus)) if need > 0}
    return sum(int(min(*(node.get(kind, 0) / need for kind, need in needs.items()), 1e6)) for node in live_nodes())


def live_nodes() -> list[dict[str, float]]:
    """What each node offers in all, by Ray's names."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def unmet(num: int, cpus: float, gpus: float) -> str:
    """What `num` segments, each to be given `cpus` and `gpus`, need to begin, and how much of it is free."""
    nodes = live_nodes()
    needs = {kind: need for kind, need in (("CPU", cpus), ("GPU", gpus)) if need > 0}
    who = f"{num} {'segment waits' if num == 1 else 'segments wait'} for a worker with cpus={cpus:g} and gpus={gpus:g}"
    if not any(all(node.get(kind, 0) >= need for kind, need in needs.items()) for node in nodes):
        return f"{who}, for which none of the cluster's nodes ({len(nodes)}) is large enough"
    free = ray.available_resources()
    of_all = [f"{free.get(kind, 0):g} of {sum(node.get(kind, 0) for node in nodes):g} {kind}s" for kind in needs]
    return f"{who}; the cluster has {' and '.join(of_all)} free"
