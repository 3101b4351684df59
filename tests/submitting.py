"""`ray job submit` and what came back, as a person at a cluster has it."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]


class Submitted(NamedTuple):
    """How a submitted job ended."""

    code: int
    """Of `ray job submit`: 0 where the job's was, else 1."""
    log: str
    """What the submitter saw: the job's stdout and stderr, and Ray's own lines."""

    @property
    def result(self) -> dict[str, Any]:
        """The last line of JSON."""
        lines = [line for line in self.log.splitlines() if line.startswith("{")]
        assert lines, self.log[-3000:]
        return json.loads(lines[-1])


def submit(head: Any, *words: object, timeout_s: float = 240, **options: str) -> Submitted:
    """Submits a command from the repository's root, as the README says, and waits for its end.

    Args:
        head: see `conftest.Head`.
        words: of the command.
        timeout_s: until it must have ended.
        options: of `ray job submit` besides, such as submission_id.
    """
    more = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    command = [
        *("ray", "job", "submit", "--address", head.dashboard, "--log-color", "false", *more),
        *("--working-dir", ".", "--runtime-env", "platform/runtime_env.yaml", "--"),
        *map(str, words),
    ]
    for _ in range(10):
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=head.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout_s,
        )
        # The agent listens before it has told the dashboard that it takes jobs.
        if "No available agent" not in done.stdout:
            break
        time.sleep(1)
    return Submitted(done.returncode, done.stdout)


def ray_job(head: Any, *words: str) -> str:
    """Another of Ray's commands on jobs, such as `stop ID`; what it said."""
    done = subprocess.run(
        ["ray", "job", *words, "--address", head.dashboard],
        cwd=ROOT,
        env=head.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
    )
    return done.stdout
