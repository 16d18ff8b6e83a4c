"""What the trials of a search say of its space and its budget."""

from hpo.results.analysis.best_of import ExpectedBest, expected_best, of_powers, values_of
from hpo.results.analysis.boundary import Crowd, crowds
from hpo.results.analysis.words import crowd_text

__all__ = ["Crowd", "ExpectedBest", "crowd_text", "crowds", "expected_best", "of_powers", "values_of"]
