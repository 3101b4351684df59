"""What tests/test_platform_module.py submits as a job: checks itself and a Ray task.

With an argument it only exits with that code.
"""

import sys


def check() -> str:
    """Fails unless `platform` is the standard library's; returns where `arcadia` comes from."""
    import platform
    import sysconfig
    from pathlib import Path

    assert Path(str(platform.__file__)).parent == Path(sysconfig.get_path("stdlib"))
    import algorithms.dqn
    import arcadia

    assert algorithms.dqn.DQNOptions
    return str(arcadia.__file__)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        sys.exit(int(sys.argv[1]))
    import ray

    from arcadia.cluster import connect

    connect()
    for file in (check(), ray.get(ray.remote(check).remote())):
        # The job's own copy, not what is installed here.
        assert "runtime_resources" in file, file
    print("the job is fine")
