"""Plots of a report, each with a sentence that says how to read it."""

import math
from collections.abc import Collection, Iterator, Sequence
from functools import partial
from typing import TypeVar

from hpo.records import EndKind
from hpo.results.analysis import expected_best, of_powers, values_of
from hpo.results.report import more_plots, plots, tables
from hpo.results.report.isoeffect import Flatness, Isoeffect, isoeffects
from hpo.results.report.isolation import NUM_BEST, isolate
from hpo.results.report.markup import Markup, element, joined
from hpo.results.report.plots import BEST_COLORS, MOST_PANELS, PANEL_HEIGHT, num_rows
from hpo.results.report.points import Mark, Point, Scale, best_so_far, points_of, scale_of
from hpo.results.report.subject import Subject
from hpo.results.report.svg import drawn
from hpo.results.report.wording import counted
from hpo.results.rungs import summarize_rungs
from hpo.results.table import find_front, rank
from hpo.spaces import Constant, Domain

T = TypeVar("T")
Params = Sequence[tuple[str, Domain]]
"""That are searched, by path."""


def sections(subject: Subject) -> Iterator[Markup]:
    """All of which there is something to say, in the order in which one asks."""
    points = points_of(subject.trials)
    values = [point.value for point in points if point.value is not None]
    if values:
        scale = scale_of(values, subject.metric, subject.goal)
        yield _history(subject, points, scale)
        yield from _curves(subject)
        yield from _rungs(subject)
        yield from _front(subject)
        yield from _importances(subject)
        yield from _params(subject, points, scale)
        yield from _pairs(subject, points, scale)
    yield from _best_of(subject)
    yield from _finalists(subject)
    yield from _ensemble(subject)
    yield from _test(subject)
    yield from _advice(subject)


def _section(title: str, *parts: Markup) -> Markup:
    return element("section", element("h2", title), *parts)


def _parts(panels: Sequence[T]) -> list[Sequence[T]]:
    """As many as a figure holds."""
    return [panels[begin : begin + MOST_PANELS] for begin in range(0, len(panels), MOST_PANELS)]


def _figure(plot: Markup, how_to_read: str) -> Markup:
    return element("figure", plot, element("figcaption", how_to_read))


def _history(subject: Subject, points: list[Point], scale: Scale) -> Markup:
    draw = partial(
        plots.draw_history,
        points=points,
        best=best_so_far(points, subject.goal),
        scale=scale,
    )
    text = "Each trial with the last value that it had; the line is the best so far of those that went to the end."
    return _section("History", _figure(drawn(draw, 2.9, "Values by trial"), text + _left_out(points, scale)))


def _left_out(points: list[Point], scale: Scale) -> str:
    """Of trials that do not stand where their value is."""
    num_infeasible = sum(point.mark is Mark.INFEASIBLE for point in points)
    num_unmeasured = sum(point.value is None for point in points) - num_infeasible
    texts = []
    if num_infeasible:
        texts.append(f" Crosses beyond the edge: {num_infeasible} diverged or failed and have no value.")
    if scale.num_beyond:
        texts.append(f" On the edge itself, for they lie beyond it: {counted(scale.num_beyond, 'value')}.")
    if num_unmeasured:
        texts.append(f" Not shown, for they have no measurement yet: {counted(num_unmeasured, 'trial')}.")
    return "".join(texts)


def _curves(subject: Subject) -> Iterator[Markup]:
    best = [trial.trial_id for trial in rank(subject.searched, subject.goal)[: len(BEST_COLORS)] if trial.values]
    epochs = sorted({decision.rung for trial in subject.searched for decision in trial.decisions})
    values = [value for trial in subject.searched for value in trial.values.values() if math.isfinite(value)]
    if not values:
        return
    scale = scale_of(values, subject.metric, subject.goal)
    draw = partial(plots.draw_curves, trials=subject.searched, best=best, rungs=epochs, scale=scale)
    text = f"Every trial after each of its epochs; the best {len(best)} in colour."
    text += " Where many faint lines end on a dotted one, a rung has stopped them." if epochs else ""
    text += f" Beyond the scale: {counted(scale.num_beyond, 'value')}." if scale.num_beyond else ""
    yield _section("Learning curves", _figure(drawn(draw, 3.2, "Values by epoch"), text))


def _rungs(subject: Subject) -> Iterator[Markup]:
    found = summarize_rungs(subject.trials, subject.goal)
    if found:
        text = (
            "Trials stopped at each rung, and how right that was: the rank correlation of values there and at the "
            "end, over trials that went to the end; spared are controls that went on though they would have been "
            "stopped, and lost says how many of them ended among the best 5."
        )
        yield _section("Rungs", tables.rungs(found), element("p", text, class_="note"))


def _front(subject: Subject) -> Iterator[Markup]:
    if len(subject.goals) > 1:
        metrics = list(subject.goals)
        leading = {trial.trial_id for trial in find_front(subject.searched, subject.goals)}
        ends = [(trial.trial_id in leading, trial.end) for trial in subject.searched if trial.end is not None]
        complete = [(is_leading, end) for is_leading, end in ends if end.kind is EndKind.COMPLETE]
        front = [end for is_leading, end in complete if is_leading]
        others = [end for is_leading, end in complete if not is_leading]
        draw = partial(more_plots.draw_front, front=front, others=others, metrics=metrics)
        names = " and ".join(metrics)
        text = f"Trials that went to the end. By no other are beaten, in {names} at once: {_numbered(leading)}."
        yield _section("Pareto front", _figure(drawn(draw, 2.8, "Pareto front"), text))


def _numbered(trial_ids: Collection[int]) -> str:
    return ", ".join(map(str, sorted(trial_ids))) or "none"


def _params(subject: Subject, points: list[Point], scale: Scale) -> Iterator[Markup]:
    params = [
        (path, domain)
        for path, domain in subject.space.items()
        if not isinstance(domain, Constant) and any(path in point.params for point in points)
    ]
    if not params:
        return
    yield _slices(params, points, scale)
    yield _isolation(params, points, scale)


def _slices(params: Params, points: list[Point], scale: Scale) -> Markup:
    text = (
        "Each trial once in every plot. Good values that crowd at an end of an axis ask for a wider range; crosses "
        "that crowd at one ask for a narrower range, or for training that is stabler there."
    )
    plotted = [
        drawn(
            partial(
                plots.draw_slices,
                points=points,
                params=some,
                scale=scale,
            ),
            PANEL_HEIGHT * num_rows(len(some)) + 0.3,
            "Values by param",
        )
        for some in _parts(params)
    ]
    return _section("Params, one at a time", _figure(joined(plotted), text))


def _isolation(params: Params, points: list[Point], scale: Scale) -> Markup:
    text = (
        f"How good the other params can make each value of one: the mean of the best {NUM_BEST} of its n trials, with "
        "its 95 % interval by the bootstrap. Values whose intervals overlap are not told apart. Trials that were "
        "stopped early count with the value that they had then. Empty circles at the edge lie beyond the scale."
    )
    measured = [(point, point.value) for point in points if point.value is not None]
    buckets = []
    for path, domain in params:
        own = [(point.params[path], value) for point, value in measured if path in point.params]
        if own:
            buckets.append((path, isolate(domain, own, scale.goal)))
    plotted = [
        drawn(
            partial(plots.draw_isolation, buckets=some, scale=scale),
            (PANEL_HEIGHT + 0.1) * num_rows(len(some)),
            "Best values by bucket",
        )
        for some in _parts(buckets)
    ]
    return _section("Params, with the others at their best", _figure(joined(plotted), text))


def _pairs(subject: Subject, points: list[Point], scale: Scale) -> Iterator[Markup]:
    found = isoeffects(points, subject.optimizer, subject.goal)
    if found:
        draw = partial(
            more_plots.draw_isoeffects,
            found=found,
            scale=scale,
        )
        text = (
            "Trials by learning rate and what may make up for it, all on logarithmic scales, over medians of cells; "
            "triangles did not go to the end, the star is the best. Along a dashed line the effect is the same by "
            "theory: if the colours follow it, one of the two need not be searched."
        )
        lines = [element("li", _told(each)) for each in found]
        plot = _figure(drawn(draw, 2.6, "Values by pairs of params"), text)
        yield _section("Params that make up for each other", plot, element("ul", *lines))


def _told(each: Isoeffect) -> str:
    if each.law is None:
        return f"{each.pair.name}: theory has no line for this optimizer."
    told = f"{each.pair.name}: {each.law} stays the same along the line. "
    return told + _shape(each.flatness)


def _shape(found: Flatness | None) -> str:
    if found is None:
        return "Too few trials went to the end, or the best of them lie in no valley, to say how flat it is."
    bent = "" if found.ratio >= 0 else "; below 0: the floor falls away to both ends"
    return (
        f"The valley of the best {found.num_trials} trials lies {found.angle:.0f}\u00b0 away from it (0\u00b0: as "
        f"theory has it), and is {found.ratio:.2g} times as curved along its floor as across{bent}."
    )


def _finalists(subject: Subject) -> Iterator[Markup]:
    if subject.finalists:
        draw = partial(more_plots.draw_finalists, finalists=subject.finalists, metric=subject.metric)
        text = (
            "Dots: each fresh seed; diamonds: their mean, with its 95 % interval by Student's t. The arrow leads from "
            "the value in the search, by which a finalist was chosen, to what it is worth: an arrow towards the worse "
            "is the winner's curse."
        )
        plot = drawn(draw, 0.9 + 0.4 * len(subject.finalists), "Finalists")
        yield _section("Finalists", _figure(plot, text), tables.finalists(subject.finalists))


def _ensemble(subject: Subject) -> Iterator[Markup]:
    told = subject.ensemble
    if told is not None:
        height = max(2.4, 0.9 + 0.25 * len(told.members))
        text = (
            "Left: NLL on the examples of the selection with every network that was added, against the best single "
            f"one. Right: what each weighs in the average. Its temperature is {told.temperature:.3g}: above 1, it was "
            "too sure of itself before."
        )
        plot = drawn(partial(more_plots.draw_ensemble, told=told), height, "Ensemble")
        yield _section("Ensemble", _figure(plot, text), *_reliability(subject))


def _reliability(subject: Subject) -> Iterator[Markup]:
    if subject.reliability:
        total = sum(each.num_examples for each in subject.reliability)
        error = sum(each.num_examples * abs(each.confidence - each.accuracy) for each in subject.reliability) / total
        text = (
            f"What the ensemble says of {total} validation examples, in bins by its confidence: below the diagonal it "
            f"is surer than it is right, above it less sure. On average it is {error:.3f} beside it (expected "
            "calibration error); where a bin on the right holds few examples, its point on the left says little."
        )
        yield _figure(drawn(partial(more_plots.draw_reliability, bins=subject.reliability), 2.4, "Reliability"), text)


def _test(subject: Subject) -> Iterator[Markup]:
    record = subject.finalized
    if record is not None and record.get("rows"):
        when = ", ".join(record["opened"])
        yield _section("Test split", tables.opened(record), element("p", f"Opened {when}.", class_="note"))


def _importances(subject: Subject) -> Iterator[Markup]:
    if subject.importances:
        text = (
            "How far the values of the best tenth of trials differ from those of all (PED-ANOVA), as shares of 100 %, "
            "with 90 % by the bootstrap. Where intervals are wide, trials are too few to say."
        )
        yield _section("Params that decide", tables.importances(subject.importances), element("p", text, class_="note"))


def _best_of(subject: Subject) -> Iterator[Markup]:
    values = values_of(subject.searched, subject.goal)
    if len(values) > 1:
        found = expected_best(values, subject.goal, of_powers(len(values)))
        text = (
            "The best of so many of these trials, on average, with 95 % by the bootstrap: where the last rows hardly "
            "differ, more trials of the same kind would not pay. Trials that were stopped count with what they had by "
            "then, and those that diverged or failed as the worst."
        )
        yield _section("Would more trials pay?", tables.best_of(found), element("p", text, class_="note"))


def _advice(subject: Subject) -> Iterator[Markup]:
    if subject.advice:
        yield _section("Advice", element("ul", *(element("li", text) for text in subject.advice)))
