"""Bundles: an exported model in a folder, `model.pt2` and `card.json`.

`torch.export.load("model.pt2").module()` maps raw inputs [B, *input_shape] float32 to log-probabilities [B, C], or, if
it is of several networks, to these and their entropy [B] and disagreement [B]. That needs torch and nothing of hpo, but
torch's reader runs code that a stranger may have put into the archive. `load_bundle`, and with it every command,
refuses an archive that holds any: a pickle, or text that is no name, size or operator of torch.

There may also be `model.onnx`, the same for ONNX Runtime; `predict.py`, which runs it without torch and hpo; and
`reference.npz`, inputs with the outputs that belong to them, by which that is checked. hpo never runs a bundle's own
`predict.py` but right after writing it.
"""

from hpo.training.bundles.card import Card
from hpo.training.bundles.reading import Bundle, load_bundle, read_weights

__all__ = ["Bundle", "Card", "load_bundle", "read_weights"]
