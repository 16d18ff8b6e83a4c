"""What becomes of the best trial's model."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field, field_validator

from hpo.ensembles.kinds import AnyEnsemble
from hpo.errors import Problem
from hpo.export.bundle import Formats
from hpo.export.cost import Limits
from hpo.export.inference import Inference
from hpo.export.weights import Weights
from hpo.sweep.wording import MODEL_NAME


class Export(Inference):
    """What becomes of the best trial's model."""

    formats: Formats = ("pt2",)
    """Files of the bundle; none: nothing is exported but by `hpo export`. With onnx, which takes
    seconds, it predicts without torch: `python predict.py`.
    """
    weights: Weights = "raw"
    """Those of the last step, or their average by `ema_half_life` or `swa_start`; trials are compared by the former."""
    register_as: Annotated[str, Field(pattern=MODEL_NAME)] | None = None
    """Name in MLflow's registry, where the best model becomes a version with the alias `best`, and an ensemble one with
    the alias `ensemble`; none: they do not.
    """

    limits: Limits = Limits()
    """What an ensemble may cost: the largest that keeps to it leaves. Needs onnx among `formats`, to be measured."""

    @field_validator("formats")
    @classmethod
    def _check_formats(cls, formats: Formats) -> Formats:
        if formats not in ((), ("pt2",), ("pt2", "onnx")):
            raise ValueError(
                f"must be [], [pt2] or [pt2, onnx], for hpo itself reads pt2, but got [{', '.join(formats)}]."
            )
        return formats

    @property
    def inference(self) -> Inference:
        """How exported models predict."""
        return Inference(**{name: getattr(self, name) for name in Inference.model_fields})


def limit_problems(export: Export, ensemble: AnyEnsemble | None) -> Iterator[Problem]:
    """A limit is for ensembles, and is measured in ONNX Runtime."""
    if export.limits == Limits():
        return
    if ensemble is None:
        yield Problem(key="export.limits", message="has no effect, because ensemble is none. Delete it.")
    elif "onnx" not in export.formats:
        message = (
            f"needs export.formats: [pt2, onnx], but that is [{', '.join(export.formats)}]. Add onnx, or delete it."
        )
        yield Problem(key="export.limits", message=message)


def register_problems(export: Export, *, is_tracked: bool) -> Iterator[Problem]:
    """A model is registered where MLflow is, and runs there without torch."""
    if export.register_as is None:
        return
    if not is_tracked:
        yield Problem(key="export.register_as", message="has no effect, because tracking is none. Delete it.")
    if "onnx" not in export.formats:
        message = (
            f"needs export.formats: [pt2, onnx], but that is [{', '.join(export.formats)}]. Add onnx, or delete it."
        )
        yield Problem(key="export.register_as", message=message)
