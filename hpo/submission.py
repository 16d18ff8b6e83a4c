"""A sweep is sent to a cluster."""

import getpass
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from hpo.cluster.client import Client
from hpo.cluster.jobs import Job, start
from hpo.cluster.package import Package, packed
from hpo.errors import ClusterError, DataError
from hpo.folder import make_id
from hpo.paths import SweepPaths
from hpo.sweep import Sweep, check_data, load_sweep


@dataclass(frozen=True, kw_only=True)
class Order:
    """A sweep that can be sent: no mistake was found in it."""

    sweep: Sweep
    file: Path
    """The sweep file, in `folder`."""
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
    sweep = load_sweep(path, overrides)
    unchecked = None
    try:
        splits = sweep.data.load(sweep.seed)
    except DataError as error:
        unchecked = str(error)
    else:
        check_data(sweep, splits)
    return Order(
        sweep=sweep, file=path.relative_to(folder), folder=folder, overrides=tuple(overrides), unchecked=unchecked
    )


def send(client: Client, order: Order, sweep_id: str | None = None) -> tuple[str, Package]:
    """Let a cluster run the sweep; its id, which is that of the job too, and what was sent.

    Raises:
        HpoError: if it cannot be sent, or a sweep of that id was.
    """
    sweep, cluster = order.sweep, order.sweep.cluster
    sweep_id = sweep_id or make_id(sweep)
    keep = SweepPaths(sweep.storage.folder / sweep_id).shipped
    with packed(order.folder, cluster.exclude, cluster.max_upload) as package:
        package.check_holds(order.file)
        job = Job(
            job_id=sweep_id,
            command=[
                *("run", str(keep / order.file), "--id", sweep_id),
                *(part for text in order.overrides for part in ("--set", text)),
            ],
            keep=str(keep),
            archive=package.archive,
            dependencies=cluster.dependencies,
            env=values_of(cluster.env),
            tags={
                "name": sweep.name,
                "user": getpass.getuser(),
                "budget": sweep.budget.model_dump_json(exclude_none=True),
                "hpo": metadata.version("hpo"),
            },
        )
        start(client, job)
    return sweep_id, package


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
