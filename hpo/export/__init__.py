"""Models that leave: bundles, and what they predict."""

from hpo.export.bundle import Bundle, load_bundle, write_bundle
from hpo.export.card import Card
from hpo.export.predictions import Predictions, predict_file

__all__ = ["Bundle", "Card", "Predictions", "load_bundle", "predict_file", "write_bundle"]
