"""Doing: segments in, reports out, on whatever machines there are.

Nothing heavy is imported here; take `RayExecutor` from `hpo.execution.ray`.
"""

from hpo.execution.executor import Executor, NextSegment, OnReport, OnSegmentEnd, SharedWorkload, Workload
from hpo.execution.local import LocalExecutor

__all__ = ["Executor", "LocalExecutor", "NextSegment", "OnReport", "OnSegmentEnd", "SharedWorkload", "Workload"]
