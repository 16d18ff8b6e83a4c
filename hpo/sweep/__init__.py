"""The sweep file: its validated model, its loading, and what it is written out as."""

from hpo.sweep.asked import Tracking
from hpo.sweep.cluster import Cluster
from hpo.sweep.exporting import Export
from hpo.sweep.fit import check_data
from hpo.sweep.loading import AnySweep, load_any, load_sweep
from hpo.sweep.lr_bounds import find_lr_curve, with_lr_bounds
from hpo.sweep.metrics import Measure, Metric, Objective
from hpo.sweep.model import Sweep
from hpo.sweep.own import OwnMetric, OwnSweep
from hpo.sweep.resources import Resources
from hpo.sweep.retries import Retries
from hpo.sweep.settling import settled, settled_own, with_first_rung
from hpo.sweep.storage import Storage
from hpo.sweep.terms import Terms
from hpo.sweep.writing import dump_resolved, sweep_schema

__all__ = [
    "AnySweep",
    "Cluster",
    "Export",
    "Measure",
    "Metric",
    "Objective",
    "OwnMetric",
    "OwnSweep",
    "Resources",
    "Retries",
    "Storage",
    "Sweep",
    "Terms",
    "Tracking",
    "check_data",
    "dump_resolved",
    "find_lr_curve",
    "load_any",
    "load_sweep",
    "settled",
    "settled_own",
    "sweep_schema",
    "with_first_rung",
    "with_lr_bounds",
]
