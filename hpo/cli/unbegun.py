"""Commands that read one sweep, where it has no folder on the cluster: it waits to begin, or has come to nothing."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpo.cli.remote import OnCluster, run_there
from hpo.cli.submit import show

if TYPE_CHECKING:
    from hpo.cluster.client import Client
    from hpo.cluster.jobs import Known
    from hpo.cluster.marks import Line


class OfOne(OnCluster):
    """Where the sweep has no folder, its job tells."""

    def send(self, client: "Client", command: Sequence[str], given: dict[str, Any], address: str) -> int:
        """Run the command there; its exit code."""
        from hpo.cluster.jobs import find_first_job
        from hpo.cluster.marks import ERR
        from hpo.paths import NO_SWEEP

        errors: list[Line] = []
        code = run_there(client, command, lambda line: errors.append(line) if line.mark == ERR else show(line))
        first = find_first_job(client, given["sweep_id"]) if code == 1 and given["sweep_id"] else None
        if first is not None and any(NO_SWEEP in line.text for line in errors):
            return self.ask(client, first, given)
        for line in errors:
            show(line)
        return code

    def ask(self, client: "Client", job: "Known", given: dict[str, Any]) -> int:
        """As of a sweep of which nothing else is known."""
        from hpo.cli.standing import show_state
        from hpo.folders.status import State, SweepState
        from hpo.paths import SweepPaths

        sweep_id = str(job.submission_id)
        state = SweepState(
            paths=SweepPaths(Path(given["runs"]) / sweep_id),
            state=State.FAILED if job.status.is_terminal() else State.UNKNOWN,
            problem=f"it has no folder there; {_standing(job)} See: hpo logs {sweep_id}",
        )
        show_state(state, as_json=given["as_json"])
        return 0


class Logs(OfOne):
    """Shows what the job has written, Ray's words too: they say why it has come to nothing."""

    def ask(self, client: "Client", job: "Known", given: dict[str, Any]) -> int:
        """All that there is; with --follow, to its end."""
        from hpo.cluster.jobs import follow, read_log

        if given["follow"]:
            return follow(client, str(job.submission_id), _print)
        for line in read_log(client, str(job.submission_id)):
            _print(line)
        print(_standing(job))
        return 0


def _standing(job: "Known") -> str:
    return f"its job is {job.status.value.lower()}. Ray says: {job.message}"


def _print(line: "Line") -> None:
    print(line.text, flush=True)
