"""A view of one sweep in MLflow's pages: its trials, best first, with their params as columns. Imports MLflow."""

import json
from urllib.parse import quote

from mlflow import MlflowClient

from hpo.config import JsonTree
from hpo.errors import SweepNotFoundError
from hpo.records import Goal
from hpo.tracking.runs import TRIAL_TAG, find_runs

_VIEW_TAG = "mlflow.sharedViewState."
"""Where MLflow's own "share" button keeps views. The format is internal (of 3.17): a page that does not know it shows
every run of the experiment instead."""


def share_view(server: str, experiment: str, sweep_id: str) -> str:
    """Store the view with the experiment, and return its address.

    Raises:
        SweepNotFoundError: if the server knows no such sweep.
    """
    client = MlflowClient(server)
    found = client.get_experiment_by_name(experiment)
    runs = {} if found is None else find_runs(client, found.experiment_id, sweep_id)
    if found is None or None not in runs:
        raise SweepNotFoundError(
            f"MLflow at {server} has no sweep {sweep_id!r} in experiment {experiment!r}. "
            "Is `tracking.uri` of the sweep the store that is served there?"
        )
    tags = runs[None].data.tags
    params = {name for run in runs.values() for name in run.data.params}
    state = _state(sweep_id, tags["hpo.metric"], Goal(tags["hpo.goal"]), sorted(params))
    client.set_experiment_tag(found.experiment_id, _VIEW_TAG + sweep_id, json.dumps(state))
    # `workflowType` hides the pages about language models.
    query = f"workflowType=machine_learning&viewStateShareKey={quote(sweep_id)}"
    return f"{server}/#/experiments/{found.experiment_id}/runs?{query}"


def _state(sweep_id: str, metric: str, goal: Goal, params: list[str]) -> JsonTree:
    """Sorted by the final metric: trials that never reached the last epoch have none and come last."""
    metrics = [f"final_{metric}", "epochs", metric]
    columns = [f"tags.`{tag}`" for tag in (TRIAL_TAG, "hpo.end")]
    columns += [f"metrics.`{name}`" for name in metrics] + [f"params.`{name}`" for name in params]
    return {
        "searchFilter": f"attributes.run_name LIKE '{sweep_id}/%'",
        "orderByKey": f"metrics.`final_{metric}`",
        "orderByAsc": goal is Goal.MINIMIZE,
        "selectedColumns": columns,
    }
