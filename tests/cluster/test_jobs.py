"""What a job is to Ray."""

from pathlib import Path

from hpo.cluster.jobs import Job


def test_dependencies_code_and_variables_go_into_the_runtime_environment() -> None:
    job = Job(
        job_id="digits-1",
        command=["run", "sweep.yaml"],
        archive=Path("code.zip"),
        dependencies=("einops", "timm>=1.0"),
        env={"MY_KEY": "s3cret"},
    )

    assert job.runtime_env == {
        "working_dir": "code.zip",
        "pip": ["einops", "timm>=1.0"],
        "env_vars": {"MY_KEY": "s3cret", "RAY_JOB_STOP_SIGNAL": "SIGTERM", "RAY_JOB_STOP_WAIT_TIME_S": "150"},
    }
    assert "s3cret" not in job.entrypoint + repr(job)


def test_without_dependencies_machines_stay_as_they_are() -> None:
    job = Job(job_id="hpo-ls", command=["ls"])

    assert set(job.runtime_env) == {"env_vars"}
