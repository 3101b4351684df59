"""What all tests share: one Ray for the session, and the folder of real files."""

import os
from pathlib import Path

import pytest

# Before Ray and torch are imported: both read their environment then.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from arcadia.cluster import connect, state_environment

state_environment()


@pytest.fixture(scope="session")
def ray_session() -> None:
    """Ray on this machine with four logical CPUs, started once."""
    connect(num_cpus=4)


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of photographs, videos and weights; skips where there is none."""
    folder = os.environ.get("ARCADIA_TEST_DATA")
    if not folder:
        pytest.skip("ARCADIA_TEST_DATA is not set: it names the folder of real files")
    return Path(folder)
