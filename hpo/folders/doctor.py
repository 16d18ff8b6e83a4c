"""What is wrong with sweeps on disk; what can be mended without their driver is mended."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal

from hpo.errors import HpoError, OutboxOwnedError
from hpo.paths import SweepPaths
from hpo.search.database import check_whole
from hpo.sweep import AnySweep, load_any
from hpo.tracking.mlflow import open_outbox
from hpo.tracking.probe import check_answers
from hpo.tracking.spool import num_waiting, open_spool
from hpo.uris import masked
from hpo.versions import versions

if TYPE_CHECKING:
    from hpo.execution.nodes import Node

MOST_AHEAD_S = 1.0
"""By how much the clock of a node may differ: times in MLflow come from the driver's, files' from a node's own."""


@dataclass(frozen=True, kw_only=True)
class Checkup:
    """What was found of one sweep, and mended."""

    sweep_id: str
    study: Literal["whole", "broken", "none"]
    """none: it was never begun."""
    mlflow: Literal["answers", "away", "off", "unknown"]
    """off: the sweep is not tracked; unknown: its file cannot be read."""
    num_waiting: int
    """Entries that MLflow had not got."""
    num_left: int
    """Those that it still has not got."""
    has_driver: bool
    """Whether a running driver, or another doctor, writes them."""
    problems: Sequence[str]
    """What is still wrong."""


def check_nodes(sweeps: Sequence[SweepPaths]) -> "list[Node]":
    """Ask every node of the cluster that RAY_ADDRESS names, also whether it reaches the states of these sweeps."""
    from hpo.execution.cluster import connect, disconnect  # noqa: PLC0415 - without a cluster Ray is not needed
    from hpo.execution.nodes import ask_nodes  # noqa: PLC0415

    loaded = [(paths, _load(paths)[0]) for paths in sweeps]
    folders = {sweep.storage.located(paths).states for paths, sweep in loaded if sweep is not None}
    connect()
    try:
        return ask_nodes(sorted(folders))
    finally:
        disconnect()


def node_problems(nodes: "Sequence[Node]") -> list[str]:
    """What would keep a sweep from running on all of these nodes as it does here, in sentences."""
    ours, problems = versions(), []
    for node in nodes:
        if node.silent is not None:
            problems.append(f"{node.name}: must answer, but does not ({node.silent}). Look at its log, or restart it.")
            continue
        for name, version in node.versions.items():
            if version != ours[name]:
                problems.append(f"{node.name}: must have {name} {ours[name]} as here, but has {version}. Install that.")
        if abs(node.ahead_s) - node.uncertain_s > MOST_AHEAD_S:
            problems.append(
                f"{node.name}: its clock must be within {MOST_AHEAD_S:g} s of the one here, but is {node.ahead_s:+.1f} "
                "s off. Let it follow a time server."
            )
        problems += [
            f"{node.name}: must reach {masked(folder)}, but cannot: {why}. Name a store, or a folder that all share."
            for folder, why in node.unreached.items()
        ]
    return problems


def check_up(sweeps: Sequence[SweepPaths]) -> list[Checkup]:
    """Look at each sweep, and write what waits for MLflow where it answers and no driver does so."""
    why_silent = cache(_why_silent)  # each store is asked once
    checkups = []
    for paths in sweeps:
        num_found, has_driver = num_waiting(paths.outbox), _has_driver(paths)
        sweep, file_problem = _load(paths)
        study, study_problem = _study(sweep, paths)
        silent = None if sweep is None or sweep.tracking is None else why_silent(sweep.tracking.uri)
        missing = None
        if sweep is not None and num_found > 0 and not has_driver and silent is None:
            missing = _drain(sweep, paths)
        checkups.append(
            Checkup(
                sweep_id=paths.sweep_id,
                study=study,
                mlflow=_state(sweep, silent),
                num_waiting=num_found,
                num_left=num_waiting(paths.outbox),
                has_driver=has_driver,
                problems=[why for why in (file_problem, study_problem, silent, missing) if why is not None],
            )
        )
    return checkups


def _has_driver(paths: SweepPaths) -> bool:
    if not paths.outbox.exists():
        return False
    try:
        open_spool(paths.outbox).close()
    except OutboxOwnedError:
        return True
    return False


def _study(sweep: AnySweep | None, paths: SweepPaths) -> tuple[Literal["whole", "broken", "none"], str | None]:
    place = paths.study if sweep is None else sweep.storage.place(paths)
    try:
        return "whole" if check_whole(place) else "none", None
    except HpoError as error:
        return "broken", str(error)


def _load(paths: SweepPaths) -> tuple[AnySweep | None, str | None]:
    try:
        return load_any(paths.resolved), None
    except HpoError as error:
        return None, str(error)


def _why_silent(uri: str) -> str | None:
    try:
        check_answers(uri)
    except HpoError as error:
        return str(error)
    return None


def _state(sweep: AnySweep | None, silent: str | None) -> Literal["answers", "away", "off", "unknown"]:
    if sweep is None:
        return "unknown"
    if sweep.tracking is None:
        return "off"
    return "answers" if silent is None else "away"


def _drain(sweep: AnySweep, paths: SweepPaths) -> str | None:
    """What MLflow still has not got, and why."""
    assert sweep.tracking is not None, "only a tracked sweep has an outbox"
    remedy = "They still wait: mend that, and call the doctor again."
    outbox = open_outbox(paths.outbox, sweep.tracking.uri, sweep.experiment, paths.sweep_id, remedy=remedy)
    return outbox.close(timeout_s=math.inf)
