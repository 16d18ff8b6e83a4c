"""The ensemble so far: of sweeps on the digits, and of states that a test writes itself."""

import logging
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from hpo.ensembles import greedy
from hpo.ensembles.kinds import AnyEnsemble, Deep, Greedy, HyperDeep, Stack, Top
from hpo.harvest.lineup import Lineup
from hpo.records import End, EndKind, Goal, Report, TrialRecord
from hpo.training.checkpoint import write_checkpoint
from hpo.training.state import TrialState

LABELS = np.arange(80) % 4
GOAL = Goal.MAXIMIZE


def lineup_of(kind: AnyEnsemble | None = None, labels: np.ndarray = LABELS) -> Lineup:
    return Lineup(kind or Greedy(min_gain=0), labels, 4, GOAL, seed=0)


def predictions(seed: int, skill: float = 1.0, labels: np.ndarray = LABELS) -> np.ndarray:
    """Normalized, in float16: of noise, and so much of what is true."""
    logits = np.random.default_rng(seed).normal(size=(len(labels), 4)) + skill * np.eye(4)[labels]
    log_probs: np.ndarray = (logits - np.log(np.exp(logits).sum(1, keepdims=True))).astype(np.float16)
    return log_probs


def ended(
    folder: Path, trial_id: int, log_probs: np.ndarray, kind: EndKind = EndKind.COMPLETE, repeats: int | None = None
) -> TrialRecord:
    """A trial with its state on disk."""
    state = folder / f"{trial_id}.safetensors"
    tensors = {"raw": torch.from_numpy(log_probs)}
    write_checkpoint(state, TrialState(epoch=3, module={}, optimizer={}, averaged={}, log_probs=tensors))
    metrics = {"val_accuracy": float((log_probs.argmax(1) == np.arange(len(log_probs)) % 4).mean())}
    return TrialRecord(
        trial_id=trial_id,
        params={},
        end=End(kind=kind, epoch=3, value=metrics["val_accuracy"], metrics=metrics),
        kept=Report(trial_id=trial_id, epoch=3, metrics=metrics, checkpoint=str(state)),
        repeats=repeats,
    )


def members(lineup: Lineup) -> list[int]:
    return sorted(int(Path(state).stem) for state in lineup.members())


def picked(log_probs: list[np.ndarray], labels: np.ndarray = LABELS) -> list[int]:
    return greedy(np.stack(log_probs), labels, 5, min_gain=0).members


def test_members_are_those_of_the_whole_pool_in_whatever_order_trials_end(tmp_path: Path) -> None:
    said = [predictions(seed, skill=0.5 + 0.02 * seed) for seed in range(70)]
    trials = [ended(tmp_path, trial_id, log_probs) for trial_id, log_probs in enumerate(said)]
    forth, back = lineup_of(), lineup_of()

    for trial in trials:
        forth.join(trial)
    for trial in reversed(trials):
        back.join(trial)
        back.update()

    expected = greedy(np.stack(said), LABELS, 5, min_gain=0, num_considered=70).members
    assert members(forth) == members(back) == expected
    assert len(expected) > 1


def test_candidates_that_were_not_considered_are_when_others_have_gone(tmp_path: Path) -> None:
    said = [predictions(seed, skill=2 - 0.02 * seed) for seed in range(120)]
    trials = [ended(tmp_path, trial_id, log_probs) for trial_id, log_probs in enumerate(said)]
    lineup = lineup_of()
    for trial in trials:
        lineup.join(trial)
    lineup.update()

    for trial in trials[:90]:
        lineup.leave(trial)

    assert members(lineup) == [90 + place for place in picked(said[90:])]


def test_what_is_told_of_it_are_nll_and_accuracy_of_the_mean_probability_beside_those_of_the_lowest_nll(
    tmp_path: Path,
) -> None:
    said = [predictions(seed) for seed in range(3)]
    lineup = lineup_of(Top(size=3))
    for trial_id, log_probs in enumerate(said):
        lineup.join(ended(tmp_path, trial_id, log_probs))

    lineup.update()

    rows = np.arange(len(LABELS))
    each = [np.exp(log_probs.astype(float)) for log_probs in said]
    each = [probs / probs.sum(1, keepdims=True) for probs in each]
    single = min(each, key=lambda probs: -np.log(probs[rows, LABELS]).mean())
    mean = np.mean(each, axis=0)
    told = lineup.so_far
    assert told is not None
    assert told.num_members == 3
    assert told.nll == pytest.approx(-np.log(mean[rows, LABELS]).mean())
    assert told.accuracy == pytest.approx((mean.argmax(1) == LABELS).mean())
    assert told.single_nll == pytest.approx(-np.log(single[rows, LABELS]).mean())
    assert told.single_accuracy == pytest.approx((single.argmax(1) == LABELS).mean())
    assert told.nll < told.single_nll


def test_of_many_examples_only_those_select_that_select_at_the_end(tmp_path: Path) -> None:
    """`stratified_part` spares 30 % of 2 000; whoever is best on those alone is not picked for that."""
    labels = np.arange(2000) % 4
    lineup = lineup_of(Top(size=1), labels)
    inside = lineup._inside
    on_selection, on_the_rest = (
        np.where(where[:, np.newaxis], predictions(0, 8.0, labels), predictions(1, 0.0, labels))
        for where in (inside, ~inside)
    )

    lineup.join(ended(tmp_path, 0, on_the_rest))
    lineup.join(ended(tmp_path, 1, on_selection))

    assert inside.sum() == 1400
    assert members(lineup) == [1]


@pytest.mark.parametrize("kind", [Greedy(min_gain=0), Top(), Stack(), HyperDeep(min_gain=0)])
def test_a_kind_that_selects_from_all_does_so_here(tmp_path: Path, kind: AnyEnsemble) -> None:
    said = [predictions(seed) for seed in range(8)]
    lineup = lineup_of(kind)
    for trial_id, log_probs in enumerate(said):
        lineup.join(ended(tmp_path, trial_id, log_probs))

    assert members(lineup) == kind(np.stack(said), LABELS).members


def test_of_a_deep_ensemble_the_best_and_its_repetitions_are_members(tmp_path: Path) -> None:
    lineup = lineup_of(Deep())
    lineup.join(ended(tmp_path, 0, predictions(0, 4.0)))
    lineup.join(ended(tmp_path, 1, predictions(1, 1.0)))
    before = members(lineup)

    lineup.join(ended(tmp_path, 2, predictions(2, 0.1), repeats=0))
    lineup.join(ended(tmp_path, 3, predictions(3, 4.0), repeats=1))

    assert before == [0]
    assert members(lineup) == [0, 2]


def test_trials_that_were_stopped_or_came_to_nothing_are_no_members(tmp_path: Path) -> None:
    lineup = lineup_of(Top(size=5))
    for trial_id, kind in enumerate(EndKind):
        lineup.join(ended(tmp_path, trial_id, predictions(trial_id), kind))

    assert members(lineup) == [list(EndKind).index(EndKind.COMPLETE)]


def test_a_trial_that_is_stopped_though_it_was_through_is_no_member_any_more(tmp_path: Path) -> None:
    lineup = lineup_of()
    trial = ended(tmp_path, 0, predictions(0))
    lineup.join(trial)
    before = members(lineup)

    lineup.join(ended(tmp_path, 0, predictions(0), EndKind.STOPPED))

    assert (before, members(lineup)) == ([0], [])
    assert lineup.so_far is None


def test_without_a_state_there_is_no_ensemble(tmp_path: Path) -> None:
    lineup = lineup_of()
    gone = ended(tmp_path, 0, predictions(0))
    Path(str(gone.checkpoint)).unlink()

    lineup.join(gone)
    lineup.join(replace(gone, trial_id=1, kept=None))

    assert members(lineup) == []
    assert lineup.so_far is None


def test_a_damaged_state_is_told_once_and_the_others_are_looked_at(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lineup = lineup_of()
    trials = [ended(tmp_path, trial_id, predictions(trial_id)) for trial_id in range(3)]
    for trial in trials[:2]:
        Path(str(trial.checkpoint)).write_bytes(b"torn")

    with caplog.at_level(logging.WARNING):
        for trial in trials:
            lineup.join(trial)
            lineup.update()

    assert members(lineup) == [2]
    [said] = [record.getMessage() for record in caplog.records]
    assert said.startswith(
        f"The ensemble so far is not up to date: {trials[0].checkpoint}: must be a checkpoint that a trial wrote, but"
    )


def test_networks_that_rule_out_what_is_true_are_left_out(tmp_path: Path) -> None:
    ruled_out = predictions(0)
    ruled_out[3, LABELS[3]] = -np.inf
    lineup = lineup_of(Top())

    lineup.join(ended(tmp_path, 0, ruled_out))
    before = members(lineup)
    lineup.join(ended(tmp_path, 1, predictions(1)))

    assert (before, members(lineup)) == ([], [1])


def test_it_is_kept_up_by_a_thread_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hpo.harvest.lineup.LOOK_S", 0.01)
    lineup = lineup_of()

    with lineup.kept_up():
        lineup.join(ended(tmp_path, 0, predictions(0)))
        for _ in range(500):
            if lineup.so_far is not None:
                break
            time.sleep(0.01)

    assert lineup.so_far is not None
    assert lineup.so_far.num_members == 1
