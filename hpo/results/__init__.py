"""What came of a sweep: trials in order, and as tables."""

from hpo.results.table import best, find_best, leaderboard, rank, to_json

__all__ = ["best", "find_best", "leaderboard", "rank", "to_json"]
