"""The folder `platform` never hides the standard library's module of that name."""

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.submitting import submit

ROOT = Path(__file__).parents[1]
CHECK = """
import platform, sysconfig
from pathlib import Path
assert platform.python_implementation() == "CPython", platform
assert Path(platform.__file__).parent == Path(sysconfig.get_path("stdlib")), platform.__file__
"""


def test_from_the_repositorys_root():
    assert not (ROOT / "platform" / "__init__.py").exists()
    subprocess.run([sys.executable, "-c", CHECK], cwd=ROOT, check=True)


@pytest.mark.usefixtures("ray_session")
def test_in_a_ray_task():
    import ray

    @ray.remote(num_cpus=1)
    def where() -> str:
        import platform

        return str(platform.__file__)

    assert Path(ray.get(where.remote())).parent == Path(sysconfig.get_path("stdlib"))


def test_in_a_submitted_job_which_gets_the_packages_and_returns_its_exit_code(head):
    done = submit(head, "python", "tests/platform_job.py")
    assert done.code == 0, done.log[-3000:]
    assert "the job is fine" in done.log
    # Ray's client says which code it was and exits with 1 itself.
    failed = submit(head, "python", "tests/platform_job.py", 3)
    assert failed.code == 1
    assert "exit code 3" in failed.log
