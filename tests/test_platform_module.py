"""The folder `platform` never hides the standard library's module of that name."""

import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import pytest

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
    def submit(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                *("ray", "job", "submit", "--address", head.dashboard),
                *("--working-dir", ".", "--runtime-env", "platform/runtime_env.yaml", "--"),
                *("python", "tests/platform_job.py", *words),
            ],
            cwd=ROOT,
            env=head.environment,
            capture_output=True,
            text=True,
            timeout=120,
        )

    for _ in range(10):  # the agent listens before it has told the dashboard that it takes jobs
        done = submit()
        if "No available agent" not in done.stdout + done.stderr:
            break
        time.sleep(1)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    assert "the job is fine" in done.stdout
    # Ray's client says which code it was and exits with 1 itself.
    failed = submit("3")
    assert failed.returncode == 1
    assert "exit code 3" in failed.stdout + failed.stderr
