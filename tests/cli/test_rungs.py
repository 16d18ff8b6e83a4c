"""Why a rung let a trial pass, as it is shown."""

from dataclasses import replace

import pytest
from rich.console import Console

from hpo.cli.rungs import decisions_table, rung_text, show_rungs
from hpo.records import Decision, Outcome
from hpo.results.rungs import Rung

DOUBTED = Rung(
    epoch=6,
    num_seen=30,
    num_stopped=10,
    num_spared=0,
    num_doubted=4,
    num_finished=9,
    num_controls=0,
    correlation=-0.25,
    num_spared_finished=0,
    num_spared_best=None,
    num_lost=None,
)


def test_a_decision_in_doubt_says_by_what() -> None:
    console = Console(width=200)
    decision = Decision(rung=6, value=0.5, cutoff=0.7, rank=9, num_seen=12, outcome=Outcome.CONTINUES, doubt=-0.2519)

    with console.capture() as said:
        console.print(decisions_table([decision]))

    assert "9 of 12  goes on, for the rung has told nothing: correlation -0.25 with later ones" in said.get()


def test_a_rung_in_doubt_says_how_many_it_let_pass(capsys: pytest.CaptureFixture[str]) -> None:
    show_rungs([DOUBTED], 5, as_json=False)

    assert "epoch 6 let 4 pass that it would have stopped, for it had told nothing" in capsys.readouterr().out
    assert "epoch 6: 10 of 30 stopped; 4 let pass, for it had told nothing; correlation" in rung_text(DOUBTED)


@pytest.mark.parametrize(
    ("num_best", "num_tested", "text"),
    [
        (1, 1, "among the best 5 ended 1 of 1 controls"),
        (1, 5, "among the best 5 ended 1 of 5 controls, so about 8 of the 40 stopped"),  # 40 * 1 / 5
    ],
)
def test_a_few_controls_speak_for_themselves_alone(num_best: int, num_tested: int, text: str) -> None:
    rung = replace(
        DOUBTED,
        num_stopped=40,
        num_spared_finished=num_tested,
        num_spared_best=num_best,
        num_lost=40 * num_best / num_tested,
    )

    assert rung_text(rung).split("; ")[-1] == text
