"""Tables and sentences of a report."""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import timedelta

from hpo.config import JsonTree
from hpo.records import TrialRecord
from hpo.results.analysis import ExpectedBest
from hpo.results.finalists import Finalist
from hpo.results.report.markup import Markup, element, foldable, table
from hpo.results.report.subject import Importance, Subject, ToldEnsemble
from hpo.results.report.wording import counted, objective, short
from hpo.results.rungs import Rung
from hpo.results.table import find_best, to_json

NUM_LEADERS = 10
SCORES = ("nll", "accuracy")


def result(subject: Subject) -> Markup:
    """What the sweep came to, in a paragraph."""
    sentences = [*_on_best(subject), *_on_finalists(subject.finalists), *_on_ensemble(subject.ensemble)]
    return element("p", " ".join([*sentences, *_on_test(subject.finalized)]), class_="result")


def spent(subject: Subject) -> Markup:
    """How much, on what."""
    counts = Counter(
        "under way" if trial.end is None else trial.end.kind.value.replace("_", " ") for trial in subject.trials
    )
    ends = ", ".join(f"{num} {name}" for name, num in counts.items()) or "none"
    repeats = sum(trial.repeats is not None for trial in subject.trials)
    rows = [
        ("time", str(timedelta(seconds=round(subject.elapsed_s)))),
        ("epochs trained", f"{subject.num_epochs:,}, of up to {subject.max_epochs} a trial"),
        ("trials", f"{len(subject.trials)}: {ends}" + (f"; {repeats} of them on fresh seeds" if repeats else "")),
        ("searched", counted(len(subject.space), "param")),
    ]
    lines = (element("tr", element("th", name, scope="row"), element("td", text)) for name, text in rows)
    return element("table", *lines, class_="facts")


def leaders(subject: Subject) -> Markup:
    """The first ten, a column each: so there is room for any number of params."""
    rows = to_json(subject.searched, subject.goals)[:NUM_LEADERS]
    facts = [(subject.metric, ["" if row["value"] is None else objective(row["value"]) for row in rows])]
    facts += [(name, [short(row["metrics"].get(name, "")) for row in rows]) for name in list(subject.goals)[1:]]
    facts += [("end", [row["end"].replace("_", " ") for row in rows]), ("epoch", [str(row["epoch"]) for row in rows])]
    paths = [path for path in subject.space if any(path in row["params"] for row in rows)]
    facts += [(path, [short(row["params"].get(path, "")) for row in rows]) for path in paths]
    header = ("trial", *(str(row["trial"]) for row in rows))
    return table([tuple(map(foldable, (name, *cells))) for name, cells in facts], header, class_="leaders")


def rungs(found: Sequence[Rung]) -> Markup:
    """What each has decided, and how right that was."""
    rows = []
    for rung in found:
        correlation = "" if rung.correlation is None else f"{rung.correlation:.2f} over {rung.num_finished}"
        lost = "" if rung.num_lost is None else f"{rung.num_spared_best} of {rung.num_spared_finished} controls"
        counts = map(str, (rung.epoch, rung.num_seen, rung.num_stopped, rung.num_spared))
        rows.append((*counts, correlation, lost))
    return table(rows, ("epoch", "seen", "stopped", "spared", "rank correlation with the end", "lost"))


def importances(found: Sequence[Importance]) -> Markup:
    """What share each param has."""
    rows = [(each.path, f"{each.share:.0%}", f"{each.low:.0%} to {each.high:.0%}") for each in found]
    return table(rows, ("param", "importance", "90 %"))


def best_of(found: Sequence[ExpectedBest]) -> Markup:
    """What so many trials come to."""
    rows = [
        (str(each.num_trials), objective(each.value), f"{objective(each.low)} to {objective(each.high)}")
        for each in found
    ]
    return table(rows, ("best of", "value", "95 %"))


def finalists(found: Sequence[Finalist]) -> Markup:
    """What each is worth on fresh luck, and how sure that is."""
    rows = []
    for each in found:
        mean = "none" if each.mean is None else objective(each.mean)
        width = "" if each.half_width is None else f"\u00b1 {objective(each.half_width)}"
        chance = "" if each.probability is None else f"{each.probability:.0%}"
        above = each.difference
        gain = "" if above is None else f"{above.mean:+.4f} ({above.low:+.4f} to {above.high:+.4f})"
        rows.append((f"trial {each.trial_id}", objective(each.searched), mean, width, chance, gain))
    return table(rows, ("", "in the search", "mean", "95 %", "best with", "less that of the best of the search, 95 %"))


def opened(record: JsonTree) -> Markup:
    """What everything was worth on the test split, as it was measured when that was opened."""
    rows = [
        (
            row["name"],
            str(row["num_members"]),
            *(cell for key in SCORES for cell in (objective(row["test"][key]["mean"]), _ends(row["test"][key]))),
        )
        for row in record["rows"]
        if row["missing"] is None
    ]
    return table(rows, ("", "networks", "test NLL", "95 %", "test accuracy", "95 %"))


def _on_best(subject: Subject) -> Iterator[str]:
    best, num_trials = find_best(subject.searched, subject.goal), counted(len(subject.searched), "trial")
    if best is None:
        yield f"Of {num_trials} none has a value yet."
        return
    epoch, value = _last(best)
    params = ", ".join(f"{path} {short(best.params[path])}" for path in subject.space if path in best.params)
    yield (
        f"The best of {num_trials} is trial {best.trial_id}: {subject.metric} {objective(value)} "
        f"after {counted(epoch, 'epoch')}, with {params}."
    )
    if not subject.finalists:
        yield "It was chosen by that value, which flatters it."


def _on_finalists(finalists: Sequence[Finalist]) -> Iterator[str]:
    for each in finalists:
        if each.is_chosen and each.mean is not None:
            width = "" if each.half_width is None else f" \u00b1 {objective(each.half_width)} (95 %)"
            yield (
                f"Of {counted(len(finalists), 'finalist')}, each trained again on "
                f"{counted(len(each.values), 'fresh seed')}, trial {each.trial_id} is chosen, at a mean of "
                f"{objective(each.mean)}{width}."
            )


def _on_ensemble(told: ToldEnsemble | None) -> Iterator[str]:
    if told is not None:
        single = told.best_single.held_out
        yield (
            f"An ensemble of {counted(len(told.members), 'network')} ({told.ensemble['kind']}) has NLL "
            f"{objective(told.held_out.nll)} and accuracy {objective(told.held_out.accuracy)} on examples that did not "
            f"select it, where choosing the best single network comes to {objective(single.nll)} and "
            f"{objective(single.accuracy)}."
        )


def _on_test(record: JsonTree | None) -> Iterator[str]:
    if record is not None and record.get("rows"):
        times = "once" if record["num_opened"] == 1 else f"{record['num_opened']} times"
        last = record["rows"][-1]
        nll, accuracy = (f"{objective(last['test'][key]['mean'])} ({_ends(last['test'][key])})" for key in SCORES)
        yield f"On the test split, opened {times}, the {last['name']} has NLL {nll} and accuracy {accuracy}."


def _last(trial: TrialRecord) -> tuple[int, float]:
    """The epoch at which a trial stands that was measured, and its value there."""
    if trial.end is not None and trial.end.value is not None:
        return trial.end.epoch, trial.end.value
    return max(trial.values), trial.values[max(trial.values)]


def _ends(interval: JsonTree) -> str:
    return f"{objective(interval['low'])} to {objective(interval['high'])}"
