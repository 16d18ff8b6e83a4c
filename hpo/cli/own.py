"""A sweep over training of the user's own, before it runs, on a terminal or as JSON."""

from rich.table import Table
from rich.text import Text

from hpo.cli.show import advise
from hpo.cli.text import domain_text, grid, make_console, print_json
from hpo.plan import brackets_of
from hpo.scheduling import full_budget
from hpo.spaces.values import shown
from hpo.sweep import OwnSweep, settled_own
from hpo.sweep.advice import advice
from hpo.work import OwnWork


def check_own(sweep: OwnSweep, *, as_json: bool) -> None:
    """What is searched, and how many epochs that will take; what an epoch takes nobody knows before.

    Raises:
        SweepError: if the function or program cannot be called.
    """
    OwnWork(sweep).check()
    sweep, reasons = settled_own(sweep)
    scheduler = sweep.chosen.scheduler
    num_trials = full_budget(sweep.budget, scheduler, sweep.epochs).trials
    brackets = brackets_of(scheduler, num_trials, sweep.epochs)
    num_epochs = scheduler.planned_epochs(num_trials, sweep.epochs)
    if as_json:
        print_json(
            {
                "name": sweep.name,
                "space": {path: domain.as_tree() for path, domain in sweep.space.items()},
                "constraints": list(sweep.constraints),
                "brackets": [dict(zip(bracket.rungs, bracket.num_trials, strict=True)) for bracket in brackets],
                "num_epochs": num_epochs,
                "sampler": sweep.chosen.sampler.as_tree(),
                "scheduler": scheduler.as_tree(),
                "why": list(reasons),
                "advice": advice(sweep),
            }
        )
        return
    console = make_console()
    console.print(f"{sweep.name} is valid", style="bold green")
    space = Table("search", "in", "default", box=None, header_style="dim", padding=(0, 2, 0, 0), pad_edge=False)
    for path, domain in sweep.space.items():
        space.add_row(path, domain_text(domain), shown(sweep.params[path]))
    console.print("", space, *(f"where {constraint}" for constraint in sweep.constraints), "", sep="\n")
    rows = grid()
    rows.add_row(sweep.trainer, Text(sweep.function or sweep.command or ""))
    rows.add_row("sampler", sweep.chosen.sampler.kind)
    rows.add_row("scheduler", scheduler.kind)
    for place, bracket in enumerate(brackets, start=1):
        rungs = (f"{num} to epoch {rung}" for rung, num in zip(bracket.rungs, bracket.num_trials, strict=True))
        rows.add_row("trials" if len(brackets) == 1 else f"bracket {place}", ", ".join(rungs))
    rows.add_row("work", f"{num_epochs:.0f} epochs")
    console.print(rows, *reasons, sep="\n", soft_wrap=True)
    advise(sweep, console)
