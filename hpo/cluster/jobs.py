"""Commands of hpo as jobs of Ray's, on a cluster's head."""

import asyncio
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from aiohttp import ClientError
from ray.job_submission import JobDetails, JobStatus

from hpo.cluster.client import Client, told
from hpo.cluster.marks import Line, read_line
from hpo.config import JsonTree
from hpo.errors import ClusterError

Known = JobDetails
"""What the cluster knows of a job."""
STOP_S = 150
"""How long a job may take to leave everything in order, once it is asked to end."""
STOPPED = 130
"""Exit code of a job that was stopped, as shells have it."""
MOST_BREAKS, REST_S, LOOK_S = 5, 2.0, 0.2
TAIL = 20
"""Lines of Ray's that are told of a job that has not come to say anything."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One command, to be run on a cluster's head."""

    job_id: str
    command: Sequence[str]
    """What follows `hpo`."""
    keep: str | None = None
    """Folder there to which what came with the job is copied first, and which takes its place; none: nothing came."""
    archive: Path | None = None
    """What comes with the job, for the driver and all workers."""
    dependencies: Sequence[str] = ()
    """For pip."""
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Variables by name, with values that nobody may see."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """Shown with the job."""

    @property
    def entrypoint(self) -> str:
        """What the shell runs."""
        keep = [] if self.keep is None else ["--keep", self.keep]
        version = metadata.version("hpo")
        command = ["python", "-m", "hpo.cli.relay", "--version", version, *keep, "--", *self.command]
        return f"exec {shlex.join(command)}"

    @property
    def runtime_env(self) -> JsonTree:
        """In Ray's words. The head's `RAY_JOB_STOP_...` let a job that is stopped pause its sweep in order."""
        stop = {"RAY_JOB_STOP_SIGNAL": "SIGTERM", "RAY_JOB_STOP_WAIT_TIME_S": str(STOP_S)}
        environment: JsonTree = {"env_vars": {**self.env, **stop}}
        if self.archive is not None:
            environment["working_dir"] = str(self.archive)
        if self.dependencies:
            environment["pip"] = list(self.dependencies)
        return environment


def start(client: Client, job: Job) -> None:
    """Hand a job over; it begins at once, for it asks for no resources.

    Raises:
        ClusterError: if there is one of its id, or the cluster does not take it.
    """
    with told(client.get_address()):
        if any(known.submission_id == job.job_id for known in client.list_jobs()):
            raise ClusterError(f"{job.job_id}: the id of a job must be new, but the cluster has one. Choose another.")
        client.submit_job(
            entrypoint=job.entrypoint,
            submission_id=job.job_id,
            runtime_env=job.runtime_env,
            metadata=dict(job.tags),
        )


def jobs_of(client: Client, sweep_id: str) -> list[str]:
    """Ids of the jobs that drive a sweep or have driven it, oldest first: its id, then with .2, .3 and so on."""
    with told(client.get_address()):
        known = [str(job.submission_id) for job in client.list_jobs()]
    numbers = {
        name: name.removeprefix(sweep_id).removeprefix(".") or "1" for name in known if name.startswith(sweep_id)
    }
    own = [
        name for name, number in numbers.items() if number.isdecimal() and name in (sweep_id, f"{sweep_id}.{number}")
    ]
    return sorted(own, key=lambda name: int(numbers[name]))


def find_first_job(client: Client, sweep_id: str) -> Known | None:
    """The job that was to begin the sweep of this id, or whose id begins so; none, if not exactly one was."""
    with told(client.get_address()):
        known = {str(job.submission_id): job for job in client.list_jobs() if "budget" in (job.metadata or {})}
    found = [job for name, job in known.items() if name.startswith(sweep_id)]
    return known.get(sweep_id) or (found[0] if len(found) == 1 else None)


def next_job_id(client: Client, sweep_id: str) -> str:
    """For another job that drives a sweep; the number goes on from the last one that the cluster remembers."""
    own = jobs_of(client, sweep_id)
    last = own[-1].removeprefix(sweep_id).removeprefix(".") if own else ""
    return f"{sweep_id}.{int(last or 1) + 1}"


def read_log(client: Client, job_id: str) -> list[Line]:
    """What a job has written so far."""
    with told(client.get_address()):
        return [read_line(written) for written in client.get_job_logs(job_id).splitlines()]


def follow(client: Client, job_id: str, hear: Callable[[Line], None]) -> int:
    """Hand on each line that a job writes, until it has ended; its exit code.

    Raises:
        ClusterError: if it came to nothing, or the cluster is gone.
    """
    ear, num_breaks = _Ear(hear), 0
    while True:
        num_heard = ear.num_heard
        try:
            with told(client.get_address()):
                asyncio.run(ear.listen(client, job_id))
                return _exit_code(client, job_id, ear)
        except (ClusterError, ClientError):
            num_breaks = 1 if ear.num_heard > num_heard else num_breaks + 1
            if num_breaks > MOST_BREAKS or ear.is_over:
                raise
            time.sleep(REST_S)


def attend(client: Client, job: Job, hear: Callable[[Line], None]) -> int:
    """Run a job that is of use only while somebody listens, and leave no trace of it; its exit code.

    Raises:
        ClusterError: see `start` and `follow`.
    """
    start(client, job)
    try:
        return follow(client, job.job_id, hear)
    except KeyboardInterrupt:
        with told(client.get_address()):
            client.stop_job(job.job_id)
        return STOPPED
    finally:
        with suppress(RuntimeError, OSError):  # it has not ended yet, or the cluster is gone: Ray keeps it in its list
            client.delete_job(job.job_id)


class _Ear:
    """Hears every line of a log once, though the log is sent from its beginning after each break."""

    def __init__(self, hear: Callable[[Line], None]) -> None:
        self._hear = hear
        self.num_heard = 0
        self.noise: list[str] = []
        """Lines of Ray's."""
        self.is_over = False
        """Whether the log has come to its end."""

    async def listen(self, client: Client, job_id: str) -> None:
        rest, num_seen = "", 0
        async for text in client.tail_job_logs(job_id):
            *lines, rest = (rest + text).split("\n")
            for line in lines:
                num_seen += 1
                if num_seen > self.num_heard:
                    self._take(line)
        self.is_over = True
        if rest:
            self._take(rest)

    def _take(self, written: str) -> None:
        self.num_heard += 1
        line = read_line(written)
        if line.mark is None:
            self.noise.append(line.text)
        self._hear(line)


def _exit_code(client: Client, job_id: str, ear: _Ear) -> int:
    while not (job := client.get_job_info(job_id)).status.is_terminal():
        time.sleep(LOOK_S)
    if job.driver_exit_code is not None and ear.num_heard > len(ear.noise):
        return int(job.driver_exit_code)
    if job.status == JobStatus.STOPPED:
        return STOPPED
    if job.driver_exit_code == 0:
        return 0
    noise = "\n".join(ear.noise[-TAIL:])
    raise ClusterError(
        f"{job_id}: the command must run on the cluster's head, but has come to nothing there. hpo "
        f"{metadata.version('hpo')} must be installed on all its machines. Ray says: {job.message}\n{noise}"
    )
