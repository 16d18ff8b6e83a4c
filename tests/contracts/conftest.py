from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session")
def two_slots() -> Iterator[None]:
    """A Ray of this test run's own, with two slots."""
    import ray

    from hpo.execution.cluster import connect

    connect(num_cpus=2)
    yield
    ray.shutdown()
