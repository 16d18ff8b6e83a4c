"""The page as one reads it: what stands in it, and that it needs nothing else."""

import random
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from hpo.records import Decision, End, EndKind, Goal, Outcome, Params, TrialRecord
from hpo.results.finalists import Difference, Finalist
from hpo.results.report import Subject, ToldEnsemble, page
from hpo.results.report.svg import MOST_DRAWN
from hpo.search.importance import Importance
from hpo.spaces import Choice, Constant, Domain, LogUniform, Uniform
from tests.browser import CHROMIUM, looked_at

SVG = "{http://www.w3.org/2000/svg}"
KINDS = Choice(values=("kaiming_normal", "orthogonal", "<b>$x$</b>"))
SPACE: dict[str, Domain] = {
    "optimizer.lr": LogUniform(min=1e-4, max=10.0),
    "optimizer.weight_decay": LogUniform(min=1e-6, max=1e-2),
    "optimizer.momentum": Uniform(min=0.0, max=0.99),
    "initializer.kind": KINDS,
    "batch_size": Constant(value=32),
}
ENSEMBLE = {
    "ensemble": {"kind": "greedy", "size": 5},
    "averaged": "probabilities",
    "members": [
        {"trial_id": 9, "epoch": 9, "weights": "raw", "repeats": None, "weight": 0.75},
        {"trial_id": 41, "epoch": 9, "weights": "raw", "repeats": 3, "weight": 0.25},
    ],
    "path": [{"num_members": num, "nll": nll} for num, nll in ((1, 0.3), (2, 0.25), (2, 0.24))],
    "held_out": {"nll": 0.26, "accuracy": 0.91},
    "best_single": {"trial_id": 9, "val_nll": 0.3, "held_out": {"nll": 0.31, "accuracy": 0.9}},
    "temperature": 1.2,
}
FINALISTS = [
    Finalist(
        trial_id=trial_id,
        searched=0.95,
        values=(0.9, 0.92, None if trial_id == 8 else 0.91),
        mean=None if trial_id == 8 else 0.91,
        half_width=None if trial_id == 8 else 0.025,
        probability=0.8,
        difference=Difference(mean=-0.01, low=-0.03, high=0.02, num_examples=None) if trial_id == 9 else None,
        is_chosen=trial_id == 9,
    )
    for trial_id in (9, 8)
]
TABLE = {
    "num_opened": 2,
    "opened": ["2026-01-01", "2026-01-02"],
    "rows": [
        {"name": "one long run", "missing": "not trained", "num_members": 1, "test": None},
        {
            "name": "ensemble",
            "missing": None,
            "num_members": 2,
            "test": {key: {"mean": 0.27, "low": 0.25, "high": 0.29} for key in ("nll", "accuracy")},
        },
    ],
}


def trials(num: int = 40) -> list[TrialRecord]:
    """Of which every fifth diverged, of the others every second was stopped at epoch 3, and the last one runs."""
    draw = random.Random(0)
    found = []
    for trial_id in range(num):
        params: Params = {
            "optimizer.lr": 10 ** draw.uniform(-4, 1),
            "optimizer.weight_decay": 10 ** draw.uniform(-6, -2),
            "optimizer.momentum": draw.uniform(0, 0.99),
            "initializer.kind": draw.choice(KINDS.values),
            "batch_size": 32,
        }
        kind = EndKind.DIVERGED if trial_id % 5 == 4 else EndKind.STOPPED if trial_id % 2 else EndKind.COMPLETE
        epoch = 9 if kind is EndKind.COMPLETE else 3
        values = {each: 0.5 + 0.04 * each * draw.random() for each in range(1, epoch + 1)}
        value = None if kind is EndKind.DIVERGED else values[epoch]
        outcome = Outcome.CONTINUES if kind is EndKind.COMPLETE else Outcome.STOPS
        decision = Decision(rung=3, value=values[3], cutoff=0.5, rank=1, num_seen=1, outcome=outcome)
        end = None if trial_id == num - 1 else End(kind=kind, epoch=epoch, value=value, metrics={"size": 10.0})
        found.append(TrialRecord(trial_id=trial_id, params=params, values=values, end=end, decisions=(decision,)))
    return found


SUBJECT = Subject(
    sweep_id="digits-3f2a",
    state="running",
    ended=None,
    written="2026-01-01 12:00 UTC",
    goals={"val_accuracy": Goal.MAXIMIZE},
    max_epochs=9,
    space=SPACE,
    optimizer="sgd",
    trials=trials(),
    num_epochs=200,
    elapsed_s=3723,
)
WHOLE = replace(
    SUBJECT,
    finalists=FINALISTS,
    ensemble=ToldEnsemble.model_validate(ENSEMBLE),
    finalized=TABLE,
    importances=[Importance(path="optimizer.lr", share=0.71, low=0.5, high=0.84)],
    advice=["optimizer.lr: raise <max>."],
)


@pytest.fixture(scope="module")
def text() -> str:
    return page(WHOLE)


@pytest.fixture(scope="module")
def whole(text: str) -> ET.Element:
    return read(text)


def read(text: str) -> ET.Element:
    """A page is well-formed, so that a reader of XML can take it apart."""
    return ET.fromstring(text)


def texts(root: ET.Element) -> str:
    return " ".join(" ".join(root.itertext()).split())


def headings(root: ET.Element) -> list[str | None]:
    return [heading.text for heading in root.iter("h2")]


def num_shapes(root: ET.Element, gid: str) -> int:
    [group] = [each for each in root.iter(f"{SVG}g") if each.get("id") == gid]
    drawn = list(group.iter(f"{SVG}use")) or list(group.iter(f"{SVG}path"))  # a few have no shape in common
    return len(drawn)


def test_the_page_has_a_section_for_all_there_is(whole: ET.Element) -> None:
    assert headings(whole) == [
        "What was spent",
        "The best ten",
        "History",
        "Learning curves",
        "Rungs",
        "Params that decide",
        "Params, one at a time",
        "Params, with the others at their best",
        "Params that make up for each other",
        "Would more trials pay?",
        "Finalists",
        "Ensemble",
        "Test split",
        "Advice",
    ]


def test_what_there_is_not_has_no_section() -> None:
    found = headings(read(page(replace(SUBJECT, trials=trials(3), space={"batch_size": SPACE["batch_size"]}))))

    assert found == ["What was spent", "The best ten", "History", "Learning curves", "Rungs", "Would more trials pay?"]


def test_importances_are_shares_with_their_intervals(whole: ET.Element) -> None:
    assert "optimizer.lr 71% 50% to 84%" in texts(whole)


def test_the_first_paragraph_tells_what_the_sweep_came_to(whole: ET.Element) -> None:
    best = max(
        (trial for trial in trials() if trial.end and trial.end.kind is EndKind.COMPLETE), key=lambda t: t.values[9]
    )

    said = next(texts(each) for each in whole.iter("p") if each.get("class") == "result")

    assert f"The best of 40 trials is trial {best.trial_id}: val_accuracy {best.values[9]:.4f} after 9 epochs" in said
    assert (
        "2 finalists, each trained again on 3 fresh seeds, trial 9 is chosen, at a mean of 0.9100 \u00b1 0.0250" in said
    )
    assert "An ensemble of 2 networks (greedy) has NLL 0.2600 and accuracy 0.9100 on examples that did not" in said
    assert "choosing the best single network comes to 0.3100 and 0.9000" in said
    assert (
        "On the test split, opened 2 times, the ensemble has NLL 0.2700 (0.2500 to 0.2900) and accuracy 0.2700 (0."
        in said
    )


def test_it_says_whether_the_sweep_runs_and_what_was_spent(whole: ET.Element) -> None:
    said = texts(whole)

    assert "Running; written 2026-01-01 12:00 UTC." in said
    assert "Finished (enough); written" in texts(read(page(replace(SUBJECT, state="finished", ended="enough"))))
    assert "1:02:03" in said
    assert "200, of up to 9 a trial" in said
    assert "40: 16 complete, 16 stopped, 7 diverged, 1 under way" in said


def test_every_trial_has_its_mark_in_the_history_and_in_every_slice(whole: ET.Element) -> None:
    for name in ("history", "slice-optimizer.lr", "slice-initializer.kind"):
        marks = {mark: num_shapes(whole, f"{name}-{mark}") for mark in ("complete", "stopped", "infeasible", "open")}
        assert marks == {"complete": 16, "stopped": 16, "infeasible": 7, "open": 1}
    assert "Crosses beyond the edge: 7 diverged or failed and have no value." in texts(whole)


def test_pairs_are_drawn_with_their_isolines(whole: ET.Element) -> None:
    complete = num_shapes(whole, "isoeffect-optimizer.weight_decay-complete")
    others = num_shapes(whole, "isoeffect-optimizer.weight_decay-others")

    assert (complete, others) == (16, 17)
    assert "rate * decay / (1 - momentum) stays the same along the line." in texts(whole)


def test_texts_of_plots_are_texts(whole: ET.Element) -> None:
    labels = {"".join(each.itertext()) for each in whole.iter(f"{SVG}text")}

    assert {
        "optimizer.lr",
        "val_accuracy",
        "stopped early",
        "best so far",
        "trial 9 (chosen)",
        "1e-5",
        "0.001",
    } <= labels
    assert {"<b>$x$</b>", "kaiming_", "trial 41 (again 3), epoch 9", "best single network"} <= labels


def test_finalists_are_a_table_that_says_how_sure_it_is(whole: ET.Element) -> None:
    rows = [texts(row) for row in whole.iter("tr")]

    assert "trial 9 0.9500 0.9100 \u00b1 0.0250 80% -0.0100 (-0.0300 to +0.0200)" in rows
    assert "trial 8 0.9500 none 80%" in rows


def test_rungs_stand_in_the_curves(whole: ET.Element) -> None:
    assert "curves-rung-3" in {each.get("id") for each in whole.iter(f"{SVG}g")}


def test_what_was_measured_on_the_test_split_is_a_table_without_what_is_missing(whole: ET.Element) -> None:
    rows = [texts(row) for row in whole.iter("tr")]

    assert "ensemble 2 0.2700 0.2500 to 0.2900 0.2700 0.2500 to 0.2900" in rows
    assert not any(row.startswith("one long run") for row in rows)


def test_no_text_becomes_markup() -> None:
    text = page(replace(WHOLE, sweep_id="<script>alert(1)</script>", ended="a & b", trials=[], finalists=[]))

    assert "<script" not in text
    assert "<b>" not in text
    assert "raise <max>" not in text
    assert "(a &amp; b)" in text


def test_the_page_needs_nothing_else_and_is_the_same_twice(text: str) -> None:
    assert not re.search(r"""(src|href)=["'](?!#|data:)""", text)
    assert not re.search(r"@import|url\((?!#)", text)
    assert text.count("<!DOCTYPE") == 1
    assert page(WHOLE) == text


def test_several_metrics_have_their_front() -> None:
    sizes = {0: 10.0, 2: 5.0, 6: 20.0}  # by trial that went to the end
    found = [
        replace(
            trial,
            end=trial.end
            and replace(
                trial.end,
                metrics={
                    "val_accuracy": {0: 0.8, 2: 0.7, 6: 0.75}.get(trial.trial_id, 0.0),
                    "size": sizes.get(trial.trial_id, 99.0),
                },
            ),
        )
        for trial in trials(9)
    ]

    root = read(page(replace(SUBJECT, trials=found, goals={"val_accuracy": Goal.MAXIMIZE, "size": Goal.MINIMIZE})))

    assert "By no other are beaten, in val_accuracy and size at once: 0, 2." in texts(root)
    assert (num_shapes(root, "front-size-front"), num_shapes(root, "front-size-others")) == (2, 1)


@pytest.mark.parametrize("num", [0, 1])
def test_a_sweep_without_values_has_a_page(num: int) -> None:
    failed = [TrialRecord(trial_id=0, params={"batch_size": 32}, end=End(kind=EndKind.FAILED, epoch=0))]

    root = read(page(replace(SUBJECT, trials=failed[:num])))

    assert headings(root) == ["What was spent", "The best ten"]
    assert f"Of {num} trial{'' if num == 1 else 's'} none has a value yet." in texts(root)


def test_values_without_a_curve_have_a_page() -> None:
    trial = TrialRecord(trial_id=0, params={"batch_size": 32}, end=End(kind=EndKind.COMPLETE, epoch=9, value=0.5))

    assert "History" in headings(read(page(replace(SUBJECT, trials=[trial]))))


def test_losses_have_their_best_at_the_bottom_and_what_diverged_at_the_top() -> None:
    root = read(page(replace(SUBJECT, goals={"val_loss": Goal.MINIMIZE, "size": Goal.MINIMIZE})))

    groups = {each.get("id"): each for each in root.iter(f"{SVG}g")}
    infeasible, complete = (groups[f"history-{mark}"].iter(f"{SVG}use") for mark in ("infeasible", "complete"))

    assert max(map(_height, infeasible)) < min(map(_height, complete))  # SVG counts from the top


def _height(shape: ET.Element) -> float:
    return float(shape.get("y", "nan"))


def test_thousands_of_points_are_a_picture() -> None:
    num = 5 * MOST_DRAWN

    text = page(replace(SUBJECT, trials=trials(num), space={}))

    assert text.count("<image") >= 4
    assert text.count("<use") < 1500
    assert len(text) < 1_500_000


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_a_browser_shows_it(tmp_path: Path, text: str) -> None:
    (tmp_path / "report.html").write_text(text, encoding="utf-8")

    dom = looked_at((tmp_path / "report.html").as_uri(), tmp_path / "page.png", wait_ms=1000, size="900,4000")

    assert dom.count("<svg") == 7
    assert "digits-3f2a" in dom
    assert (tmp_path / "page.png").stat().st_size > 50_000
