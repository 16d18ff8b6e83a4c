"""How MLflow is to behave inside our processes."""

import os

QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}
"""No telemetry, no chatter, and no retries of its own: ours would wait for minutes behind them."""


def quieten() -> None:
    """Set what the user has not set. MLflow reads most of it once: call this before the first import of it."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
