"""Commands that do on a cluster, with `--address`, what they do here without."""

import os
import secrets
from collections.abc import Callable, Sequence
from functools import wraps
from inspect import Parameter, signature
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperCommand

from hpo.cli.conduct import errors_told
from hpo.cli.options import Address

if TYPE_CHECKING:
    from hpo.cluster.client import Client
    from hpo.cluster.marks import Line

ADDRESS = "--address"


class OnCluster(TyperCommand):
    """Reads or tells: on a cluster it is a job of its own, of which nothing is left."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Mistakes are found here; what is sent is what was typed."""
        ctx.meta["typed"] = without_address(args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Here, or there."""
        address = ctx.params["address"]
        if address is None:
            return super().invoke(ctx)
        from hpo.cluster.client import connect

        with errors_told():
            code = self.send(connect(address), [str(self.name), *ctx.meta["typed"]], ctx.params, address)
        raise typer.Exit(code)

    def send(self, client: "Client", command: Sequence[str], given: dict[str, Any], address: str) -> int:
        """Run the command there; its exit code."""
        from hpo.cli.submit import show

        return run_there(client, command, show)


class Driving(OnCluster):
    """Drives a sweep: on a cluster its job is one of the sweep's, and goes on if Ctrl-C ends the one who looks on."""

    def send(self, client: "Client", command: Sequence[str], given: dict[str, Any], address: str) -> int:
        """Begin a job beside those that the sweep has had, with what its file says that it needs."""
        from hpo.cli.submit import follow_sweep
        from hpo.submission import go_on_there

        return follow_sweep(client, go_on_there(client, given["sweep_id"], given["runs"], command), address)


def on_cluster(
    app: typer.Typer, name: str | None = None, cls: type[OnCluster] = OnCluster
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """In place of `app.command`: the command has `--address`, too, of which its function never hears."""

    def add(function: Callable[..., None]) -> Callable[..., None]:
        @wraps(function)
        def here(**given: Any) -> None:
            function(**{option: value for option, value in given.items() if option != "address"})

        own = signature(function)
        address = Parameter("address", Parameter.KEYWORD_ONLY, default=None, annotation=Address)
        here.__signature__ = own.replace(parameters=[*own.parameters.values(), address])  # type: ignore[attr-defined]  # Python reads it
        here.__annotations__ = {**function.__annotations__, "address": Address}
        app.command(name=name, cls=cls)(here)
        return function

    return add


def run_there(client: "Client", command: Sequence[str], hear: "Callable[[Line], None]") -> int:
    """Run a command that nobody needs to remember; its exit code."""
    from hpo.cluster.jobs import Job, attend

    return attend(client, Job(job_id=f"hpo-{command[0]}-{secrets.token_hex(4)}", command=command, env=_width()), hear)


def without_address(args: Sequence[str]) -> list[str]:
    """What was typed, but for where to."""
    left = [arg for arg in args if not arg.startswith(f"{ADDRESS}=")]
    while ADDRESS in left:
        place = left.index(ADDRESS)
        del left[place : place + 2]
    return left


def _width() -> dict[str, str]:
    """Of the terminal, in which the answer is shown."""
    return {"COLUMNS": str(os.get_terminal_size().columns)} if os.isatty(1) else {}
