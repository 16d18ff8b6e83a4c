"""What a study may name as the states of its trials."""

from pathlib import Path

import pytest

from hpo.errors import HpoError, StudyError
from hpo.folders.folder import check_id, check_states
from hpo.paths import SweepPaths
from hpo.records import TrialRecord

PATHS = SweepPaths(Path("runs/small-0000"), remote="s3://bucket/mine?region=here")


def state(address: str) -> TrialRecord:
    return TrialRecord(trial_id=0, params={}, states={1: address})


def test_a_state_below_the_address_of_its_sweep_is_fine() -> None:
    check_states(PATHS, [state("s3://bucket/mine/small-0000/a?region=here")])


@pytest.mark.parametrize(
    "address",
    [
        "s3://bucket/mine/small-0000/../other/a?region=here",
        "s3://bucket/mine/small-00001/a?region=here",
        "s3://bucket/mine/small-0000/a?endpoint_override=elsewhere",
        "s3://other/mine/small-0000/a?region=here",
        "/etc/passwd",
    ],
)
def test_a_state_at_another_address_is_refused(address: str) -> None:
    with pytest.raises(StudyError, match=r"every state must lie in s3://bucket/mine/small-0000\?region=here, but one"):
        check_states(PATHS, [state(address)])


@pytest.mark.parametrize("sweep_id", ["../elsewhere", "a/b", "", "small.2"])
def test_an_id_that_names_another_folder_or_a_job_of_another_sweep_is_refused(sweep_id: str) -> None:
    with pytest.raises(HpoError, match=r"--id: must be lower-case letters, digits, - and _, but got"):
        check_id(sweep_id)
