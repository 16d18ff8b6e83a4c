"""The command that sends a sweep to a cluster."""

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from hpo.cli.conduct import errors_told
from hpo.cli.options import Address, NewId, Set, SweepFile

if TYPE_CHECKING:
    from hpo.cluster.client import Client
    from hpo.cluster.marks import Line

app = typer.Typer()

Follow = Annotated[
    bool, typer.Option("--follow", "-f", help="Show what it writes, to its end. Ctrl-C leaves it running.")
]


@app.command()
def submit(
    file: SweepFile,
    address: Address = None,
    follow: Follow = False,
    set_: Set = None,
    sweep_id: NewId = None,
) -> None:
    """Check a sweep here, and run it on a Ray cluster, which is sent the current folder, or the file's."""
    from hpo.cluster.client import RAY_ADDRESS, connect
    from hpo.errors import ClusterError
    from hpo.sizes import size_text

    with errors_told():
        from hpo.submission import check_order, send

        order = check_order(file, set_ or [])
        url = address or os.environ.get(RAY_ADDRESS) or order.sweep.cluster.address
        if url is None:
            raise ClusterError("a cluster must be named: say --address http://head:8265, or set cluster.address.")
        client = connect(url)
        if order.unchecked is not None:
            print(f"warning: data are not checked here, but on the cluster: {order.unchecked}", file=sys.stderr)
        job_id, package = send(client, order, sweep_id)
        print(f"{job_id} is sent: {len(package.sizes)} files, {size_text(package.num_bytes)}.", flush=True)
        code = follow_sweep(client, job_id, url) if follow else 0
    raise typer.Exit(code)


def follow_sweep(client: "Client", job_id: str, address: str) -> int:
    """Show what a job writes that drives a sweep; its exit code. Ctrl-C leaves it running."""
    from hpo.cluster.jobs import follow

    try:
        return follow(client, job_id, show)
    except KeyboardInterrupt:
        print(f"\n{job_id} goes on without us. See: hpo status {job_id} --address {address}", file=sys.stderr)
        return 0


def show(line: "Line") -> None:
    """On the stream to which it was written; what Ray says is left out."""
    from hpo.cluster.marks import ERR, OUT

    if line.mark in (OUT, ERR):
        print(line.text, file=sys.stdout if line.mark == OUT else sys.stderr, flush=True)
