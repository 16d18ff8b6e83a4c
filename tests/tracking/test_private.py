import math
from pathlib import Path

from mlflow import MlflowClient

from hpo.tracking.private import Logged, make_blank, private_run


def test_what_mlflow_logs_is_read_without_it_once_and_in_order(tmp_path: Path) -> None:
    with private_run(make_blank(), tmp_path) as run:
        found = run.environment({"HOME": "here", "MLFLOW_EXPERIMENT_NAME": "another"})
        client, run_id = MlflowClient(found["MLFLOW_TRACKING_URI"]), found["MLFLOW_RUN_ID"]
        client.log_metric(run_id, "loss", 0.5, step=1, timestamp=2000)
        client.log_metric(run_id, "loss", math.nan, step=2, timestamp=3000)
        first = list(run.news())
        client.log_metric(run_id, "loss", -math.inf, step=3, timestamp=4000)
        client.log_metric(run_id, "accuracy", 0.9, step=3, timestamp=4000)
        then = list(run.news())

        assert first[0] == Logged(name="loss", value=0.5, step=1, at_s=2.0)
        assert (first[1].step, math.isnan(first[1].value)) == (2, True)
        assert [(each.name, math.isinf(each.value)) for each in then] == [("loss", True), ("accuracy", False)]
        assert list(run.news()) == []
        assert client.get_run(run_id).info.experiment_id == found["MLFLOW_EXPERIMENT_ID"]
        assert (found["HOME"], "MLFLOW_EXPERIMENT_NAME" in found) == ("here", False)


def test_artifacts_go_beside_the_database_and_other_runs_are_not_read(tmp_path: Path) -> None:
    with private_run(make_blank.__wrapped__(), tmp_path) as run:  # MLflow remembers where those of a run go
        found = run.environment({})
        client = MlflowClient(found["MLFLOW_TRACKING_URI"])
        client.log_text(found["MLFLOW_RUN_ID"], "text", "note.txt")
        client.log_metric(client.create_run(found["MLFLOW_EXPERIMENT_ID"]).info.run_id, "loss", 1.0)

        assert (tmp_path / "artifacts" / "note.txt").read_text() == "text"
        assert list(run.news()) == []
