"""Bundles: an exported model in a folder of two files, `model.pt2` and `card.json`.

`torch.export.load("model.pt2").module()` maps raw inputs [B, *input_shape] float32 to log-probabilities [B, C]. That
needs torch and nothing of hpo. The archive holds no pickle, and one that does is refused here; but torch's reader
also evaluates expressions: load only bundles you trust.
"""

from hpo.training.bundles.card import Card
from hpo.training.bundles.reading import Bundle, load_bundle, read_weights

__all__ = ["Bundle", "Card", "load_bundle", "read_weights"]
