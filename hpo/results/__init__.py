"""What came of a sweep: trials in order, and as tables."""

from hpo.results.table import best, leaderboard, rank, to_json

__all__ = ["best", "leaderboard", "rank", "to_json"]
