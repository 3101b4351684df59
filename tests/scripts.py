"""Scripts of the tests, which need a process of their own."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def told_by(module: str, *words: str, timeout_s: float) -> tuple[dict[str, Any], str]:
    """The JSON of a script's last line, and what it wrote to stderr; it must end well."""
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'platform'}"}
    # Ray refuses logical GPUs where GPUs are hidden, as the tests have them.
    environment.pop("CUDA_VISIBLE_DEVICES", None)
    ran = subprocess.run(
        [sys.executable, "-m", module, *words],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout_s,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    return json.loads(ran.stdout.strip().splitlines()[-1]), ran.stderr
