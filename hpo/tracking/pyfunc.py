"""A bundle as an MLflow model. MLflow runs a copy of this file wherever the model is served, without hpo and torch."""

import runpy
from pathlib import Path
from typing import Any

from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel


class BundleModel(PythonModel):
    """Raw inputs [n, *input_shape] -> log_probs [n, C]; of an ensemble also entropy [n] and disagreement [n]."""

    def load_context(self, context: Any) -> None:
        """Open the bundle with hpo's own predict.py, not with the one that lies in it."""
        script = runpy.run_path(context.artifacts["script"])
        self._model = script["open_model"](Path(context.artifacts["bundle"]))

    def predict(self, context: Any, model_input, params=None):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
        """Without types, from which MLflow would make a signature of its own."""
        return self._model.predict(model_input)


set_model(BundleModel())
