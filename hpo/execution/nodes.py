"""What every node of a Ray cluster says of itself: its versions, its clock, and what it can reach."""

import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from hpo.errors import StorageError
from hpo.files import discard, fetched, written
from hpo.paths import below
from hpo.uris import masked
from hpo.versions import versions

LONGEST_ANSWER_S = 120.0
"""A node may have to start a process, which imports."""


@dataclass(frozen=True, kw_only=True)
class Node:
    """A node, and what it has answered."""

    name: str
    """Its address in the cluster's network."""
    num_cpus: float
    num_gpus: float
    versions: Mapping[str, str] = field(default_factory=dict)
    """Of Python and the libraries; empty where it has not answered."""
    ahead_s: float = 0.0
    """By how much its clock is ahead of ours."""
    uncertain_s: float = 0.0
    """By how much that may be wrong: half of the time that asking took."""
    unreached: Mapping[str, str] = field(default_factory=dict)
    """Why a folder of states is out of its reach, by the folder."""
    silent: str | None = None
    """Why it has not answered."""


def ask_nodes(folders: Sequence[str] = ()) -> list[Node]:
    """Ask every node of the cluster that this process has joined.

    Args:
        folders: of states, as paths or addresses: every node must read what we write there, and we what it writes.
    """
    alive = [node for node in ray.nodes() if node["Alive"]]
    witness: Any = ray.remote(num_cpus=0, max_restarts=0)(_Witness)
    strategies = [NodeAffinitySchedulingStrategy(node["NodeID"], soft=False) for node in alive]
    witnesses = [witness.options(scheduling_strategy=strategy).remote() for strategy in strategies]
    begun = [each.versions.remote() for each in witnesses]  # all start at once
    try:
        return [_answer(*asked, folders) for asked in zip(alive, witnesses, begun, strict=True)]
    finally:
        for each in witnesses:
            ray.kill(each)


def check_reach(folder: str) -> None:
    """See that states which one node has written can be read by all others; a cluster of one node is not asked.

    Raises:
        StorageError: if not.
    """
    if sum(node["Alive"] for node in ray.nodes()) < 2:
        return
    unreached = {node.name: why for node in ask_nodes([folder]) for why in node.unreached.values()}
    if unreached:
        [(name, why), *others] = unreached.items()
        more = f" (nor can {len(others)} more)" if others else ""
        raise StorageError(
            f"storage.checkpoints: every node of the cluster must reach {masked(folder)}, for trials go on wherever "
            f"there is room, but {name} cannot{more}: {why}. Name a store, as s3://bucket/prefix, or a shared folder."
        )


def _answer(node: Mapping[str, Any], witness: Any, begun: Any, folders: Sequence[str]) -> Node:
    resources = node["Resources"]
    own = {
        "name": node["NodeManagerAddress"],
        "num_cpus": resources.get("CPU", 0.0),
        "num_gpus": resources.get("GPU", 0.0),
    }
    try:
        found = ray.get(begun, timeout=LONGEST_ANSWER_S)
        asked_s = time.time()
        theirs_s = ray.get(witness.now.remote(), timeout=LONGEST_ANSWER_S)
        answered_s = time.time()
        unreached = {folder: why for folder in folders if (why := _unreached(witness, folder)) is not None}
    except ray.exceptions.RayError as error:
        return Node(**own, silent=f"{type(error).__name__}: {str(error).splitlines()[0]}")
    return Node(
        **own,
        versions=found,
        ahead_s=theirs_s - (asked_s + answered_s) / 2,
        uncertain_s=(answered_s - asked_s) / 2,
        unreached=unreached,
    )


def _unreached(witness: Any, folder: str) -> str | None:
    """Why we cannot read what it has written there, or it what we have; none if all is well."""
    name = f".reach-{uuid.uuid4().hex}"
    ours, theirs = below(folder, f"{name}-ours"), below(folder, f"{name}-theirs")
    try:
        with written(ours) as beside:
            beside.write_text(name)
        why: str | None = ray.get(witness.meet.remote(ours, theirs, name), timeout=LONGEST_ANSWER_S)
        return why or _misread(theirs, name)
    except (OSError, ValueError) as error:
        return f"here, {masked(str(error))}"
    finally:
        with suppress(OSError):  # where nothing could be written
            discard(ours)
            discard(theirs)


def _misread(address: str, expected: str) -> str | None:
    try:
        with fetched(address) as path:
            return None if path.read_text() == expected else f"{masked(address)} holds something else"
    except (OSError, ValueError) as error:
        return f"what another node has written is not there ({masked(str(error))})"


class _Witness:
    """Lives on the node that is asked."""

    def versions(self) -> Mapping[str, str]:
        return versions()

    def now(self) -> float:
        return time.time()

    def meet(self, ours: str, theirs: str, text: str) -> str | None:
        """Read what the asker has written, and write the same beside it."""
        if (why := _misread(ours, text)) is not None:
            return why
        try:
            with written(theirs) as beside:
                beside.write_text(text)
        except (OSError, ValueError) as error:
            return masked(str(error))
        return None
