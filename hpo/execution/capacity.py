"""How many segments a Ray cluster holds at once."""

import logging

import ray

from hpo.errors import ResourceError

logger = logging.getLogger(__name__)


def num_slots(
    cpus: float, gpus: float, max_concurrent: int | None, *, autoscaling: bool = False, workers: int = 1
) -> int:
    """Segments at once, each of which is given `workers` with `cpus` and `gpus` each, on one node or on several.

    Args:
        cpus: of one node.
        gpus: of the same node, may be a fraction.
        max_concurrent: at most; needed where the cluster starts nodes on demand, and is then the answer.
        autoscaling: whether it does.
        workers: of one segment.

    Raises:
        ResourceError: if no node holds a segment, and none will be started for one.
    """
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    needs = {kind: need for kind, need in (("CPU", cpus), ("GPU", gpus)) if need > 0}
    num = sum(int(min(*(node.get(kind, 0) / need for kind, need in needs.items()), 1e6)) for node in nodes)
    if 0 < num < workers and not autoscaling:
        raise ResourceError(
            f"resources: the cluster must hold workers={workers} with cpus={cpus:g} and gpus={gpus:g} each, but holds "
            f"{num}. Ask for fewer, or for less; or join more nodes."
        )
    if num == 0:
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
    if autoscaling:
        assert max_concurrent is not None
        return max_concurrent
    return min(num // workers, max_concurrent or num)


def unmet(num: int, cpus: float, gpus: float, workers: int = 1) -> str:
    """What `num` segments, each to be given `workers` with `cpus` and `gpus`, need to begin, and what of it is free."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    needs = {kind: need for kind, need in (("CPU", cpus), ("GPU", gpus)) if need > 0}
    whom = f"a worker with cpus={cpus:g} and gpus={gpus:g}"
    if workers > 1:
        whom = f"{workers} workers with cpus={cpus:g} and gpus={gpus:g} each"
    who = f"{num} {'segment waits' if num == 1 else 'segments wait'} for {whom}"
    if not any(all(node.get(kind, 0) >= need for kind, need in needs.items()) for node in nodes):
        return f"{who}, for which none of the cluster's nodes ({len(nodes)}) is large enough"
    free = ray.available_resources()
    of_all = [f"{free.get(kind, 0):g} of {sum(node.get(kind, 0) for node in nodes):g} {kind}s" for kind in needs]
    return f"{who}; the cluster has {' and '.join(of_all)} free"
