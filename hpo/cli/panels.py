"""All commands, in the order in which a sweep needs them."""

from importlib import metadata
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

PANELS = {
    "A sweep file": ("check", "preflight", "lr-range", "schema", "docs"),
    "Running it": ("run", "submit", "pause", "resume", "extend", "stop", "cancel"),
    "Looking at it": ("ls", "status", "logs", "ui", "trials", "trial", "best", "rungs", "analyze", "report"),
    "What came of it": ("ensemble", "finalize", "export", "register", "prune", "predict"),
    "Upkeep": ("gc", "doctor"),
}
"""Commands by the heading under which `hpo --help` shows them."""


class InPanels(TyperGroup):
    """Lists commands as `PANELS` does, not as they were added."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Their names; one that has no panel comes last."""
        placed = [name for names in PANELS.values() for name in names]
        return [*placed, *(name for name in super().list_commands(ctx) if name not in placed)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A command, which knows its panel."""
        command: Any = super().get_command(ctx, cmd_name)
        for heading, names in PANELS.items():
            if command is not None and cmd_name in names:
                command.rich_help_panel = heading
        return command


def _tell_version(is_asked: bool) -> None:
    if is_asked:
        print(f"hpo {metadata.version('hpo')}")
        raise typer.Exit


Version = Annotated[bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Say which hpo it is.")]
