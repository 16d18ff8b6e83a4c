"""Sweeps are sent to a cluster, and go on there."""

import getpass
import json
import os
import secrets
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from hpo.cluster.client import Client
from hpo.cluster.jobs import Job, attend, next_job_id, start
from hpo.cluster.marks import ERR, OUT, Line
from hpo.cluster.package import Package, packed
from hpo.errors import ClusterError, DataError
from hpo.folders.folder import check_id, make_id
from hpo.paths import SweepPaths
from hpo.sweep import AnySweep, Cluster, OwnSweep, check_data, load_any
from hpo.sweep.files import find_space_file, read_mapping
from hpo.work import OwnWork


@dataclass(frozen=True, kw_only=True)
class Order:
    """A sweep that can be sent: no mistake was found in it."""

    sweep: AnySweep
    files: Sequence[Path]
    """The sweep file, and that of its space if it names one; in `folder`."""
    folder: Path
    """What is sent: the current folder if it holds the sweep file, else that file's."""
    overrides: Sequence[str]
    unchecked: str | None
    """Why data were not held against the sweep; none if they were."""


def check_order(file: Path, overrides: Sequence[str] = ()) -> Order:
    """Find every mistake that can be found here. On other machines modules are imported from what is sent, so here too.

    Raises:
        HpoError: if there is one. Data that are not here are none: they may lie on the cluster.
    """
    here, path = Path.cwd().resolve(), file.resolve()
    folder = here if path.is_relative_to(here) else path.parent
    sys.path.append(str(folder))
    sweep = load_any(path, overrides)
    return Order(
        sweep=sweep,
        files=_files(path, folder),
        folder=folder,
        overrides=tuple(overrides),
        unchecked=_check(sweep),
    )


def _files(path: Path, folder: Path) -> list[Path]:
    tree = read_mapping(path).value
    space = find_space_file(tree, path.parent) if isinstance(tree, dict) else None
    files = [path] if space is None else [path, space.resolve()]
    for file in files:
        if not file.is_relative_to(folder):
            raise ClusterError(
                f"space: its file must be sent with the sweep, but {file} lies outside of {folder}, which is sent. "
                "Submit from a folder that holds both."
            )
    return [file.relative_to(folder) for file in files]


def _check(sweep: AnySweep) -> str | None:
    """Hold a sweep against its function or its data; why that cannot be done here, if it cannot."""
    if isinstance(sweep, OwnSweep):
        OwnWork(sweep).check()
        return None
    try:
        splits = sweep.data.load(sweep.seed)
    except DataError as error:
        return str(error)
    check_data(sweep, splits)
    return None


def send(client: Client, order: Order, sweep_id: str | None = None) -> tuple[str, Package]:
    """Let a cluster run the sweep; its id, which is that of the job too, and what was sent.

    Raises:
        HpoError: if it cannot be sent, or a sweep of that id was.
    """
    sweep, cluster = order.sweep, order.sweep.cluster
    sweep_id = sweep_id or make_id(sweep)
    check_id(sweep_id)
    keep = SweepPaths(sweep.storage.folder / sweep_id).shipped
    with packed(order.folder, cluster.exclude, cluster.max_upload) as package:
        for file in order.files:
            package.check_holds(file)
        job = Job(
            job_id=sweep_id,
            command=[
                *("run", str(keep / order.files[0]), "--id", sweep_id),
                *(part for text in order.overrides for part in ("--set", text)),
            ],
            keep=str(keep),
            archive=package.archive,
            dependencies=cluster.dependencies,
            env=values_of(cluster.env),
            tags={**_tags(sweep.name), "budget": sweep.budget.model_dump_json(exclude_none=True)},
        )
        start(client, job)
    return sweep_id, package


def go_on_there(client: Client, sweep_id: str, runs: Path, command: Sequence[str]) -> str:
    """Let a command drive a sweep that lies on a cluster, with what its file says that it needs; the id of the job.

    Args:
        client: of the cluster.
        sweep_id: of the sweep, or how it begins.
        runs: the folder there that holds it.
        command: what follows `hpo`.

    Raises:
        HpoError: if there is no such sweep, or a variable that it needs is not set here.
    """
    whole_id, cluster = _look_up(client, sweep_id, runs)
    job = Job(
        job_id=next_job_id(client, whole_id),
        command=command,
        dependencies=cluster.dependencies,
        env=values_of(cluster.env),
        tags=_tags(whole_id),
    )
    start(client, job)
    return job.job_id


def _look_up(client: Client, sweep_id: str, runs: Path) -> tuple[str, Cluster]:
    """The whole id of a sweep that lies there, and what it needs."""
    said: list[Line] = []
    look = Job(
        job_id=f"hpo-status-{secrets.token_hex(4)}",
        command=["status", sweep_id, "--json", "--runs", str(runs)],
    )
    code = attend(client, look, said.append)
    if code != 0:
        raise ClusterError("\n".join(line.text.removeprefix("error: ") for line in said if line.mark == ERR))
    state = json.loads("\n".join(line.text for line in said if line.mark == OUT))
    if state["cluster"] is None:
        raise ClusterError(f"{state['id']}: its file must be readable there, but: {state['problem']}")
    return state["id"], Cluster.model_validate_json(json.dumps(state["cluster"]))


def _tags(name: str) -> dict[str, str]:
    """Shown with a job: what it is, whose, and by which version."""
    return {"name": name, "user": getpass.getuser(), "hpo": metadata.version("hpo")}


def values_of(names: Sequence[str]) -> Mapping[str, str]:
    """Of variables of the environment.

    Raises:
        ClusterError: if one is not set.
    """
    missing = [name for name in names if name not in os.environ]
    if missing:
        raise ClusterError(
            f"cluster.env: every variable must be set here, but {', '.join(missing)} is not. Export it, or drop it."
        )
    return {name: os.environ[name] for name in names}
