"""A trial's ancestors on a terminal."""

from collections.abc import Sequence

from rich.table import Table

from hpo.cli.text import number
from hpo.results.lineage import Leg, changed_params


def lineage_table(legs: Sequence[Leg]) -> Table:
    """Who trained which epochs, and with which params that its parent had otherwise."""
    table = Table.grid(padding=(0, 2))
    for before, leg in zip([legs[0], *legs], legs, strict=False):
        changed = (f"{path} {number(value)}" for path, value in changed_params(before, leg).items())
        epochs = f"epochs {leg.first_epoch} to {leg.last_epoch}"
        table.add_row(epochs, f"trial {leg.trial.trial_id}", ", ".join(changed))
    return table
