"""An ensemble on a terminal, or for other programs."""

from collections.abc import Iterator
from itertools import groupby

from rich.table import Table

from hpo.cli.text import grid, make_console, objective, print_json
from hpo.config import JsonTree
from hpo.harvest.rebuilding import Rebuilt


def show_ensemble(built: Rebuilt, *, as_json: bool) -> None:
    """Who is in it, what it is worth, and whether that is more than chance."""
    told = built.told
    if as_json:
        print_json({**told, "file": str(built.file), "bundles": [str(bundle) for bundle in built.bundles]})
        return
    console = make_console()
    console.print(f"{told['ensemble']['kind']}: {_size(told)}, their {told['averaged']} averaged", style="bold")
    console.print(_members(told), "", sep="\n")
    rows = grid()
    for label, text in _facts(told):
        rows.add_row(label, text)
    rows.add_row("file", str(built.file))
    for bundle in built.bundles:
        rows.add_row("model", str(bundle))
    console.print(rows)
    for table in (_path(told), _sizes(told)):
        if table.row_count:
            console.print("", table, sep="\n")
    if not is_above_chance(told):
        console.print(
            "warning: the gain is not above what the same selection gains on shuffled labels. The best single network "
            "may do as well.",
            style="yellow",
            soft_wrap=True,
        )


def is_above_chance(told: JsonTree) -> bool:
    """Whether selection gains more on the labels than on the same ones shuffled; a single network gains nothing."""
    return len(told["members"]) == 1 or told["gain"]["by_skill"] > max(0.0, told["gain"]["by_chance"])


def _size(told: JsonTree) -> str:
    num = len(told["members"])
    return f"{num} network{'s' if num > 1 else ''}"


def _members(told: JsonTree) -> Table:
    """Contributions are of those members whose predictions are pooled."""
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0), pad_edge=False)
    for name in ("trial", "epoch", "weights", "share", "NLL", "accuracy", "without it"):
        table.add_column(name, justify="left" if name == "weights" else "right", no_wrap=True)
    contributions = (told["diversity"] or {}).get("contributions") or [None] * len(told["members"])
    for member, contribution in zip(told["members"], contributions, strict=True):
        trial = str(member["trial_id"])
        table.add_row(
            trial if member["repeats"] is None else f"{trial} (again {member['repeats']})",
            str(member["epoch"]),
            member["weights"],
            f"{member['weight']:.2f}",
            *(objective(member[name]) if name in member else "" for name in ("val_nll", "val_accuracy")),
            "" if contribution is None else f"NLL {contribution:+.4f}",
        )
    return table


def _facts(told: JsonTree) -> Iterator[tuple[str, str]]:
    calibration, gain, single = told["calibration"], told["gain"], told["best_single"]
    yield "selected on", _score(told["selected_on"])
    yield "held out", _score(told["held_out"])
    yield "optimism", f"NLL {told['optimism']:+.4f} on examples that the selection has not seen"
    fitted = "" if told["temperature"] != 1 else f"; {calibration['fitted']:.3g} would not lower the NLL held out"
    before, after = objective(calibration["nll_before"]), objective(calibration["nll_after"])
    yield "temperature", f"{told['temperature']:.3g}{fitted}: NLL {before} before, {after} after, held out"
    calibrated = single["val_calibrated_nll"]
    chosen = f"NLL {objective(single['val_nll'])} as chosen" + (
        "" if calibrated is None else f", {objective(calibrated)} calibrated"
    )
    yield "best single", f"{chosen}; held out {_score(single['held_out'])}"
    yield "gain", gain_text(gain["by_skill"], gain["by_chance"])
    if told["diversity"] is not None and told["diversity"]["disagreement"] is not None:
        yield "diversity", _diversity(told["diversity"])


def _diversity(found: JsonTree) -> str:
    """Of several networks; what cannot be said of them is left out."""
    names = {"disagreement_per_error": "disagreement per error", "error_correlation": "correlation of errors"}
    names |= {"q_statistic": "Q", "oracle_accuracy": "one of them right", "ambiguity": "NLL below their mean"}
    said = [f"{name} {found[key]:.3g}" for key, name in names.items() if found[key] is not None]
    return ", ".join([f"disagreement {found['disagreement']:.1%}", *said])


def gain_text(by_skill: float, by_chance: float) -> str:
    """Nats below the best single network, or above it."""
    skill, chance = (f"{abs(nats):.4f} {'below' if nats >= 0 else 'above'} it" for nats in (by_skill, by_chance))
    return f"NLL {skill}, calibrated; on shuffled labels {chance}"


def _score(score: JsonTree) -> str:
    nll, accuracy = objective(score["nll"]), objective(score["accuracy"])
    return f"NLL {nll}, accuracy {accuracy}, of {score['num_examples']} examples"


def _path(told: JsonTree) -> Table:
    """Of picks that add nobody, the last."""
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0), pad_edge=False)
    for name in ("networks", "NLL", "accuracy", "picks"):
        table.add_column(name, justify="right")
    picks = enumerate(told["path"], start=1)
    for num_members, group in groupby(picks, key=lambda pick: pick[1]["num_members"]):
        num_picks, step = list(group)[-1]
        table.add_row(str(num_members), objective(step["nll"]), objective(step["accuracy"]), str(num_picks))
    return table


def _sizes(told: JsonTree) -> Table:
    """What each size costs and is worth on examples held out, where there are limits."""
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0), pad_edge=False)
    for name in ("networks", "p95 ms", "MB", "NLL", "accuracy", "within limits"):
        table.add_column(name, justify="right")
    for size in told["sizes"]:
        cost = (f"{size['p95_ms']:.3g}", f"{size['megabytes']:.3g}")
        worth = (objective(size["val_nll"]), objective(size["val_accuracy"]))
        table.add_row(str(size["num_members"]), *cost, *worth, "yes" if size["is_within"] else "no")
    return table
