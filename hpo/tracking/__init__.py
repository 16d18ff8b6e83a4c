"""What people look at while a sweep runs. Cheap to import: MLflow is loaded by the thread that writes to it."""

from hpo.tracking.mlflow import MlflowTracker
from hpo.tracking.tracker import NullTracker, SweepStatus, Tracker

__all__ = ["MlflowTracker", "NullTracker", "SweepStatus", "Tracker"]
