"""How members differ, and what each is worth."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr, logsumexp

from hpo.ensembles.arrays import Array, Labels, LogProbs, normalized, of_labels
from hpo.ensembles.measures import nlls
from hpo.ensembles.pooling import pool
from hpo.errors import EnsembleError


@dataclass(frozen=True, kw_only=True)
class Diversity:
    """Of the members with a weight, on one split; pairs and members count alike unless said otherwise."""

    members: tuple[int, ...]
    """In their order."""
    disagreement: float | None
    """Share of examples that two members classify differently, over pairs; none of a single member."""
    disagreement_per_error: float | None
    """`disagreement` divided by the mean error of members (Fort et al. 2019); none where there is no error."""
    error_correlation: float | None
    """Mean Pearson correlation of being wrong, over pairs of members that err, but not always; none without such."""
    q_statistic: float | None
    """Yule's Q of being right, mean over pairs (Yule 1900; Kuncheva and Whitaker 2003): 0 of independent members, 1 of
    those that err together. A pair is +1 or -1 where one of its four counts is 0, and left out where products of both
    diagonals are; none where no pair is left.
    """
    ambiguity: float
    """Members' mean NLL by weight, less the ensemble's, in nats; never below 0 (Jensen)."""
    oracle_accuracy: float
    """Share of examples that at least one member gets right."""
    contributions: tuple[float, ...] | None
    """Nats by which the NLL rises without each member, the others' weights normalized; none of a single member."""


@dataclass(frozen=True, kw_only=True)
class Information:
    """What members leave open about each example [n], in nats (Depeweg et al. 2018)."""

    entropy: Array
    """Of the pooled predictions."""
    mutual_information: Array
    """The part that comes from members' differing: `entropy` less the mean entropy of members by weight."""


def diversity(log_probs: LogProbs, labels: Labels, weights: Array) -> Diversity:
    """Of members [M, n, C] with weights [M] on the simplex.

    Raises:
        EnsembleError: if weights, labels and predictions do not belong together, or no member expects what is true.
    """
    pooled = float(nlls(pool(log_probs, weights), labels).mean())
    if not np.isfinite(pooled):
        raise EnsembleError("Members can only be compared where one of them expects what is true, but all rule it out.")
    members = np.flatnonzero(weights)
    own, weights = of_labels(log_probs[members], labels), weights[members]
    wrong = log_probs[members].argmax(2) != labels
    pairs = np.triu_indices(len(members), k=1)
    disagreement = float(disagreements(log_probs[members])[pairs].mean()) if len(members) > 1 else None
    return Diversity(
        members=tuple(members.tolist()),
        disagreement=disagreement,
        disagreement_per_error=None if disagreement is None or not wrong.any() else disagreement / float(wrong.mean()),
        error_correlation=_error_correlation(wrong.astype(np.float64)),
        q_statistic=_q_statistic(wrong),
        ambiguity=-float(weights @ own.mean(1)) - pooled,
        oracle_accuracy=float((~wrong).any(0).mean()),
        contributions=_contributions(own, weights, pooled) if len(members) > 1 else None,
    )


def disagreements(log_probs: LogProbs) -> Array:
    """Share of examples that members [M, n, C] classify differently, [M, M]."""
    classes = log_probs.argmax(2)
    return np.array([(member != classes).mean(1) for member in classes])


def information(log_probs: LogProbs, weights: Array) -> Information:
    """Of members [M, n, C] with weights [M] on the simplex.

    Raises:
        EnsembleError: if weights are not, or a member with a weight predicts what is no probability.
    """
    entropy = _entropy(pool(log_probs, weights))
    members = np.flatnonzero(weights)
    expected = sum(weights[member] * _entropy(normalized(log_probs[member])) for member in members)
    return Information(entropy=entropy, mutual_information=entropy - expected)


def _error_correlation(wrong: Array) -> float | None:
    """Mean over pairs of Pearson's correlation of errors [M, n]; members that err always or never have none."""
    varied = wrong[wrong.std(1) > 0]
    if len(varied) < 2:
        return None
    return float(np.corrcoef(varied)[np.triu_indices(len(varied), k=1)].mean())


def _q_statistic(wrong: NDArray[np.bool_]) -> float | None:
    """Mean over pairs of errors [M, n] of (ad - bc) / (ad + bc), of counts both right, one, the other, both wrong."""
    errs, right = wrong.astype(np.float64), (~wrong).astype(np.float64)
    alike, apart = (right @ right.T) * (errs @ errs.T), (right @ errs.T) * (errs @ right.T)
    pairs = np.triu_indices(len(wrong), k=1)
    alike, apart = alike[pairs], apart[pairs]
    told = alike + apart > 0
    return float(((alike - apart)[told] / (alike + apart)[told]).mean()) if told.any() else None


def _contributions(own: Array, weights: Array, pooled: float) -> tuple[float, ...]:
    """Of log-probabilities [M, n] of what is true."""
    weighted = own + np.log(weights)[:, np.newaxis]
    without = (np.delete(weighted, member, axis=0) for member in range(len(own)))
    rests = weights.sum() - weights
    return tuple(
        float(np.log(rest) - logsumexp(others, axis=0).mean()) - pooled
        for others, rest in zip(without, rests, strict=True)
    )


def _entropy(log_probs: Array) -> Array:
    """In nats, of each row."""
    entropy: Array = entr(np.exp(log_probs)).sum(-1)
    return entropy
