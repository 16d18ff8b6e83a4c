"""Whether the best trials crowd at an end of what was searched."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.special import bdtrc

from hpo.records import EndKind, TrialRecord
from hpo.spaces import Domain
from hpo.spaces.numbers import LogRandInt, LogUniform, QLogUniform, QRandInt, QUniform, RandInt, Uniform
from hpo.spaces.space import Space

Number = Uniform | LogUniform | QUniform | QLogUniform | RandInt | LogRandInt | QRandInt

TOP, FEWEST_TOP = 0.1, 5
"""Share, and least number, of trials that count as the best."""
MARGIN = 0.1
"""Of a param's range, on its own scale, that counts as its end."""
MOST_CHANCE = 0.01
"""Of seeing as many there if all of the range were alike."""
UNSTABLE = 0.3
"""Share of trials at that end that diverged or failed, from which it is the end of what trains at all."""
STEP = 3.0
"""By which a bound on a logarithmic scale is moved."""


@dataclass(frozen=True, kw_only=True)
class Crowd:
    """Of the best trials, at one end of one param."""

    path: str
    end: Literal["low", "high"]
    num_near: int
    num_top: int
    """The best trials that have the param."""
    chance: float
    """Of as many or more at this end, if its share of the range were all that counts (binomial)."""
    proposed: float | None
    """A bound to search next, on a logarithmic scale; else none."""
    is_unstable: bool
    """Whether many trials at this end diverged or failed, so that what lies beyond is no place to search."""


def crowds(ranked: Sequence[TrialRecord], space: Space) -> list[Crowd]:
    """Every end at which there are more of the best trials than chance would put there.

    A sampler that learns goes where it is good, so that chance alone does that less often than it says here: a crowd at
    an end means that what is good may go on beyond, not that it does.

    Args:
        ranked: trials of the search, the best first, with those that failed or diverged at the end.
        space: that was searched; of numbers alone anything can be said.
    """
    return [
        crowd for path, domain in space.items() if isinstance(domain, Number) for crowd in _of(ranked, path, domain)
    ]


def position(domain: Domain, value: float) -> float:
    """Where a value lies in its range, from 0 to 1, on the scale on which it is drawn."""
    assert isinstance(domain, Number)
    low, high = float(domain.min), float(domain.max)
    if _is_log(domain):
        low, high, value = math.log(low), math.log(high), math.log(value)
    return (value - low) / (high - low) if high > low else 0.5


def _of(ranked: Sequence[TrialRecord], path: str, domain: Number) -> Iterator[Crowd]:
    having = [trial for trial in ranked if path in trial.params]
    sound = [trial for trial in having if not _is_infeasible(trial) and trial.values]
    num_top = max(FEWEST_TOP, round(TOP * len(sound)))
    if len(sound) < 2 * num_top:
        return
    places = {trial.trial_id: position(domain, float(str(trial.params[path]))) for trial in having}
    shares = _shares_of_ends(domain)
    for end, is_near, share in (("low", _is_low, shares[0]), ("high", _is_high, shares[1])):
        num_near = sum(is_near(places[trial.trial_id]) for trial in sound[:num_top])
        chance = float(bdtrc(num_near - 1, num_top, share)) if num_near else 1.0
        if share < 1 and chance < MOST_CHANCE:
            there = [trial for trial in having if is_near(places[trial.trial_id])]
            is_unstable = sum(map(_is_infeasible, there)) >= UNSTABLE * len(there)
            yield Crowd(
                path=path,
                end="low" if end == "low" else "high",
                num_near=num_near,
                num_top=num_top,
                chance=chance,
                proposed=_proposed(domain, is_low=end == "low"),
                is_unstable=is_unstable,
            )


def _is_low(place: float) -> bool:
    return place < MARGIN


def _is_high(place: float) -> bool:
    return place > 1 - MARGIN


def _is_infeasible(trial: TrialRecord) -> bool:
    return trial.end is not None and trial.end.kind in {EndKind.DIVERGED, EndKind.FAILED}


def _is_log(domain: Number) -> bool:
    return isinstance(domain, LogUniform | QLogUniform | LogRandInt)


def _proposed(domain: Number, *, is_low: bool) -> float | None:
    if not _is_log(domain):
        return None
    return float(f"{float(domain.min) / STEP if is_low else float(domain.max) * STEP:.2g}")


def _shares_of_ends(domain: Number) -> tuple[float, float]:
    """Of values drawn from the domain, how many lie at its ends; few steps make that more than a tenth."""
    values = _steps(domain)
    if values is None:
        return MARGIN, MARGIN
    half = (values[1] - values[0]) / 2 if len(values) > 1 else 0.5
    masses = np.log((values + half) / (values - half)) if _is_log(domain) else np.ones(len(values))
    places = np.array([position(domain, value) for value in values])
    masses = masses / masses.sum()
    return float(masses[places < MARGIN].sum()), float(masses[places > 1 - MARGIN].sum())


def _steps(domain: Number) -> npt.NDArray[np.floating] | None:
    """All values of a domain that has few; none of one that is as good as continuous."""
    if isinstance(domain, Uniform | LogUniform):
        return None
    step = float(getattr(domain, "q", 1))
    num = int((float(domain.max) - float(domain.min)) / step + 1e-9) + 1
    return float(domain.min) + step * np.arange(num) if num <= 1000 else None
