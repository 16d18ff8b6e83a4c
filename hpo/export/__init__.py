"""Models that leave: bundles, and what they predict."""

from hpo.export.bundle import write_bundle, write_ensemble
from hpo.export.networks import Member
from hpo.export.predictions import Predictions, predict_file
from hpo.training.bundles import Bundle, Card, load_bundle

__all__ = ["Bundle", "Card", "Member", "Predictions", "load_bundle", "predict_file", "write_bundle", "write_ensemble"]
