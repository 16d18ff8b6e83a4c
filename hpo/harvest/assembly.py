"""From the networks that a sweep has left to one ensemble, and an honest word on it."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ValidationError

from hpo.config import JsonTree
from hpo.ensembles import (
    Fit,
    Score,
    Selection,
    calibrated_nll,
    diversity,
    gains_by_skill_and_by_chance,
    measure,
    score,
    select_and_calibrate,
)
from hpo.ensembles.arrays import Labels, LogProbs
from hpo.ensembles.kinds import AnyEnsemble, Candidate, Soup, Top
from hpo.errors import EnsembleError
from hpo.export.members import Networks
from hpo.harvest.pool import Pool
from hpo.training.bundles.reading import first_line

_FEW = "no trial went to its end and kept its state. Give the sweep more budget."
_WANTING = {
    "swa": "no trial keeps an average of its weights. Set swa_start or ema_half_life.",
    "snapshot": "the best trial has left no network. Does storage.keep leave it room?",
    "fge": "the best trial has left no network. Does storage.keep leave it room?",
    "deep": "the best trial has left no network. Does storage.keep leave it room?",
}


class LeftMember(BaseModel):
    """Of an ensemble that was left with a sweep."""

    trial_id: int
    weight: float


class LeftScore(BaseModel):
    """What it was worth."""

    nll: float
    accuracy: float


class Left(BaseModel):
    """What is read again of an ensemble that was left with a sweep."""

    ensemble: AnyEnsemble
    members: tuple[LeftMember, ...]
    held_out: LeftScore


def read_left(path: Path) -> Left | None:
    """What `described` has said there; none where nobody has left any.

    Raises:
        EnsembleError: if the file is damaged.
    """
    if not path.exists():
        return None
    try:
        return Left.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise EnsembleError(
            f"{path}: must be an ensemble as hpo leaves it, but {first_line(error)}. Delete it, and build another."
        ) from error


@dataclass(frozen=True, kw_only=True)
class Assembly:
    """An ensemble of networks of one sweep."""

    kind: AnyEnsemble
    members: tuple[Candidate, ...]
    """In the order of the pool; of a soup, those whose weights it averages."""
    weights: tuple[float, ...]
    """Of the members, adding up to 1."""
    log_probs: LogProbs
    """Of the members [M, n, C]; of a soup its own [1, n, C]."""
    single: Candidate
    """The network of lowest NLL among all that were admitted."""
    single_score: Score
    """Its own, on all validation examples, by which it was chosen."""
    single_calibrated_nll: float | None
    """Its own, at temperatures fitted to other examples."""
    single_held_out: Score
    """What choosing the best single network is worth on examples that have not chosen it."""
    fit: Fit
    gains: tuple[float, float]
    """Nats below the best single: by selecting, and by the same on shuffled labels; both of calibrated networks."""

    @property
    def is_soup(self) -> bool:
        """Whether weights are averaged, instead of predictions."""
        return isinstance(self.kind, Soup)

    @property
    def temperature(self) -> float:
        """Of the pooled predictions."""
        return self.fit.calibration.temperature


def assemble(kind: AnyEnsemble, pool: Pool, best: int, seed: int, networks: Networks) -> Assembly:
    """Select members from those that the kind admits, and calibrate what they say together.

    Args:
        kind: see `hpo.ensembles.kinds`.
        pool: what there is.
        best: the best trial.
        seed: of how examples are parted for selection and calibration.
        networks: of the same sweep; only a soup looks at them.

    Raises:
        EnsembleError: if nobody is admitted, no member can be picked, or weights cannot be averaged.
    """
    admitted = pool.where(lambda candidate: kind.admits(candidate, best))
    if not admitted.candidates:
        missing = _WANTING.get(kind.kind, _FEW)
        raise EnsembleError(f"ensemble.kind {kind.kind}: there must be networks to select from, but {missing}")
    first = int(np.argmin([measure(log_probs, pool.labels).nll for log_probs in admitted.log_probs]))
    fit = select_and_calibrate(admitted.log_probs, admitted.labels, kind, seed)
    chosen = fit.selection.members
    assembly = Assembly(
        kind=kind,
        members=tuple(admitted.candidates[row] for row in chosen),
        weights=tuple(fit.selection.weights[chosen].tolist()),
        log_probs=admitted.log_probs[chosen],
        single=admitted.candidates[first],
        single_score=score(admitted.log_probs[first], pool.labels),
        single_calibrated_nll=calibrated_nll(admitted.log_probs[first], pool.labels, seed),
        single_held_out=select_and_calibrate(admitted.log_probs, admitted.labels, Top(size=1), seed).held_out,
        fit=fit,
        gains=gains_by_skill_and_by_chance(admitted.log_probs, admitted.labels, kind, seed),
    )
    return _stirred(assembly, pool.labels, seed, networks) if assembly.is_soup else assembly


def described(assembly: Assembly, labels: Labels) -> JsonTree:
    """All of it, in values that JSON knows."""
    fit, single = assembly.fit, assembly.single_score
    found = None if assembly.is_soup else diversity(assembly.log_probs, labels, np.array(assembly.weights))
    return {
        "ensemble": assembly.kind.as_tree(),
        "averaged": "weights" if assembly.is_soup else "probabilities",
        "members": [
            {**asdict(member), "weight": weight, **_alone(assembly, row, labels)}
            for row, (member, weight) in enumerate(zip(assembly.members, assembly.weights, strict=True))
        ],
        "temperature": assembly.temperature,
        "calibration": asdict(fit.calibration),
        "selected_on": asdict(fit.selected_on),
        "held_out": asdict(fit.held_out),
        "optimism": fit.optimism,
        "path": [asdict(step) for step in fit.selection.path],
        "best_single": {
            **asdict(assembly.single),
            "val_nll": single.nll,
            "val_accuracy": single.accuracy,
            "val_calibrated_nll": assembly.single_calibrated_nll,
            "held_out": asdict(assembly.single_held_out),
        },
        "gain": {"by_skill": assembly.gains[0], "by_chance": assembly.gains[1]},
        "diversity": None if found is None else asdict(found),
    }


def _alone(assembly: Assembly, row: int, labels: Labels) -> JsonTree:
    """What a member is worth by itself."""
    if assembly.is_soup:
        return {}
    own = measure(assembly.log_probs[row], labels)
    return {"val_nll": own.nll, "val_accuracy": own.accuracy}


def _stirred(assembly: Assembly, labels: Labels, seed: int, networks: Networks) -> Assembly:
    """A soup of those members that make it better, and what it says by itself."""
    soup = networks.soup(assembly.members)
    if len(soup.members) == 1:
        raise EnsembleError(
            "ensemble.kind soup: the average of weights must be better than the best network alone, but no other makes "
            "it so. Pool predictions instead: ensemble.kind greedy."
        )
    members = tuple(assembly.members[row] for row in sorted(soup.members))
    log_probs = networks.predict(networks.average(members), networks.splits.validation.x)[np.newaxis]
    whole = Selection(weights=np.ones(1), path=())
    return replace(
        assembly,
        members=members,
        weights=(1 / len(members),) * len(members),
        log_probs=log_probs,
        fit=select_and_calibrate(log_probs, labels, lambda *_: whole, seed),
    )
