"""Ray, for the tests of this folder."""

import time
from collections.abc import Iterator

import pytest

ROOM_S = 20.0
"""How long Ray may take to clear up after a test."""


@pytest.fixture(scope="session")
def own_ray() -> Iterator[None]:
    """A Ray of this test run's own, with two slots."""
    import ray

    start()
    yield
    ray.shutdown()


@pytest.fixture
def two_slots(own_ray: None) -> None:
    """Both are free. One whose worker was killed while it began Ray may never give back; then it is another Ray."""
    import ray

    start()  # if a test has ended it
    asked_s = time.monotonic()
    while ray.available_resources().get("CPU", 0) < 2:
        if time.monotonic() - asked_s > ROOM_S:
            ray.shutdown()
            start()
            asked_s = time.monotonic()
        time.sleep(0.05)


def start() -> None:
    from hpo.execution.cluster import connect

    connect(num_cpus=2)
