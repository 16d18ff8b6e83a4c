"""Contenders before examples that nobody has chosen by."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
import numpy.typing as npt

from hpo.config import JsonTree
from hpo.ensembles import (
    Score,
    Verdict,
    deep_curve,
    difference,
    equivalent,
    pool,
    tempered,
    verdict,
    verdict_over_seeds,
)
from hpo.ensembles.arrays import Array, LogProbs
from hpo.ensembles.kinds import Candidate
from hpo.export.inference import AS_TRAINED, Inference
from hpo.export.members import Networks
from hpo.harvest.contenders import DEEP, ENSEMBLE, SINGLE_BY_METRIC, SINGLE_BY_NLL, UNCALIBRATED, Contender
from hpo.training.data.normalization import Inputs
from hpo.training.data.splits import Examples

Key = tuple[str | None, tuple[Candidate, ...], Inference]
"""Whose networks, if not those of the sweep's trials; which of them; and how they predict."""


@dataclass(frozen=True)
class Exam:
    """Asks each network once."""

    networks: Networks
    examples: Examples
    """Not normalised."""
    seed: int
    """Of the bootstrap."""
    _said: dict[Key, npt.NDArray[np.float32]] = field(default_factory=dict)

    def on(self, x: Inputs) -> "Exam":
        """The same before other inputs of the same labels."""
        return Exam(self.networks, Examples(x, self.examples.y), self.seed)

    def table(self, contenders: Sequence[Contender]) -> JsonTree:
        """A row for each, and what the ensemble is above the best single networks, in values that JSON knows.

        Beside them the calibrated NLL of deep ensembles of 1, 2, ... networks, by which each is told how many it is
        worth; none where the best was not trained again.
        """
        there = [each for each in contenders if each.missing is None]
        pooled = {each.name: self.predict(each) for each in there if not each.is_series}
        labels = self.examples.y
        verdicts = {name: verdict(log_probs, labels, self.seed) for name, log_probs in pooled.items()}
        verdicts |= {
            each.name: verdict_over_seeds(self._each(each), labels, self.seed) for each in there if each.is_series
        }
        pairs = [(ours, than) for ours in (ENSEMBLE, UNCALIBRATED) for than in (SINGLE_BY_METRIC, SINGLE_BY_NLL)]
        curve = self._deep_curve(there)
        return {
            "rows": [_row(each, verdicts.get(each.name), curve) for each in contenders],
            "deep_curve": None if curve is None else list(curve),
            "differences": [
                {"of": ours, "than": than, **asdict(difference(pooled[ours], pooled[than], labels, self.seed))}
                for ours, than in pairs
                if than in pooled
            ],
        }

    def predict(self, contender: Contender, inference: Inference = AS_TRAINED) -> Array:
        """Log-probabilities [n, C] of what its networks say together."""
        weights = np.ones(1) if contender.is_soup else np.array(contender.weights)
        return tempered(pool(self._each(contender, inference), weights), contender.temperature)

    def _deep_curve(self, there: Sequence[Contender]) -> tuple[float, ...] | None:
        deep = next((each for each in there if each.name == DEEP), None)
        return None if deep is None else deep_curve(self._each(deep), self.examples.y, self.seed)

    def _each(self, contender: Contender, inference: Inference = AS_TRAINED) -> LogProbs:
        """Of its networks [M, n, C]; of a soup, of the one that it is."""
        members = contender.members
        asked = [members] if contender.is_soup else [(member,) for member in members]
        return np.stack([self._ask(contender, candidates, inference) for candidates in asked])

    def _ask(
        self, contender: Contender, candidates: tuple[Candidate, ...], inference: Inference
    ) -> npt.NDArray[np.float32]:
        key = None if contender.networks is None else contender.name, candidates, inference
        if key not in self._said:
            networks = contender.networks or self.networks
            self._said[key] = networks.answers(candidates, self.examples.x, inference)
        return self._said[key]


def _row(contender: Contender, found: Verdict | None, curve: Sequence[float] | None) -> JsonTree:
    shared = zip(contender.members, contender.weights, strict=True)
    selected = contender.selected_on
    calibrated = None if found is None else found.calibrated_nll
    return {
        "name": contender.name,
        "missing": contender.missing,
        "members": [{**asdict(member), "weight": weight} for member, weight in shared],
        "num_members": len(contender.members),
        "num_extra_trials": contender.num_extra,
        "temperature": contender.temperature,
        "selected_on": None if selected is None else asdict(selected),
        "validation": None if contender.validated is None else asdict(contender.validated),
        "test": None if found is None else asdict(found),
        "deep_equivalent": None if calibrated is None or curve is None else asdict(equivalent(calibrated, curve)),
        "optimism": None if found is None or selected is None else _optimism(selected, found),
    }


def _optimism(selected: Score, found: Verdict) -> JsonTree:
    """By how much the examples of the selection flatter."""
    return {
        "nll": found.measures.nll - selected.nll,
        "accuracy": selected.accuracy - found.measures.accuracy,
    }
