"""What came of a sweep: trials in order, and as tables."""

from hpo.results.front import pareto_front
from hpo.results.table import best, find_best, find_front, leaderboard, rank, to_json

__all__ = ["best", "find_best", "find_front", "leaderboard", "pareto_front", "rank", "to_json"]
