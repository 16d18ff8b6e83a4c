"""Whether MLflow answers."""

from hpo.errors import TrackingError
from hpo.tracking.environment import quieten
from hpo.tracking.location import absolute, database
from hpo.uris import filled_in, masked


def check_answers(uri: str) -> None:
    """Ask the store at `uri` for something small; a database that is not there is not made.

    Raises:
        TrackingError: if it does not answer.
    """
    quieten()
    from mlflow import MlflowClient  # noqa: PLC0415 - MLflow takes a second to import

    store = absolute(filled_in(uri))
    path = database(store)
    if path is not None and not path.exists():
        raise TrackingError(f"{path}: must be MLflow's database, but is not there. Put it back, or resume the sweep.")
    try:
        MlflowClient(store).search_experiments(max_results=1)
    except Exception as error:
        # SQLite, sockets, HTTP and MLflow itself have no common base.
        why = masked(f"{type(error).__name__}: {error}".splitlines()[0])
        raise TrackingError(f"{masked(uri)}: MLflow must answer, but does not ({why}). Start it.") from error
