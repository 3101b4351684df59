"""A child of `dqn_throughput`: `python -m benchmarks.dqn_contenders NAME --threads N`.

It warms up, says `{"ready": true}`, and then for each line `SECONDS` that it reads works that long
and answers with steps, updates and seconds. In between it does nothing, so that others can be
measured.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

from benchmarks.dqn_contenders.ours import MONTEZUMA, Arcadia, ArcadiaActing, Hierarchy
from benchmarks.dqn_contenders.peers import RLlib, StableBaselines3
from benchmarks.dqn_contenders.plain import BareActing, PlainLoop
from benchmarks.dqn_contenders.task import Contender
from benchmarks.process import begin

CONTENDERS: dict[str, Any] = {
    "plain_loop": PlainLoop,
    "rllib_dqn": RLlib,
    "sb3_dqn": StableBaselines3,
    "arcadia": Arcadia,
    "arcadia_actors": lambda: Arcadia(num_env_runners=1),
    "plain_loop_compile": lambda: PlainLoop(compile=True),
    "arcadia_compile": lambda: Arcadia(compile=True),
    "plain_loop_channels_last": lambda: PlainLoop(channels_last=True),
    "arcadia_channels_last": lambda: Arcadia(channels_last=True),
    "plain_loop_bf16": lambda: PlainLoop(bf16=True),
    "arcadia_bf16": lambda: Arcadia(autocast="bf16"),
    "bare_acting": BareActing,
    "arcadia_acting": ArcadiaActing,
    "montezuma_dqn": lambda: Arcadia(**MONTEZUMA),
    "montezuma_hdqn": Hierarchy,
}


def main() -> None:
    """Warms up, then works when told to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=CONTENDERS)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--warm-up-s", type=float, default=20.0)
    arguments = parser.parse_args()
    answers = begin(arguments.threads)
    contender: Contender = CONTENDERS[arguments.name]()
    learns = "acting" not in arguments.name
    updates, end = 0, time.perf_counter() + arguments.warm_up_s
    while time.perf_counter() < end or (learns and updates < 50):
        updates += contender.work(2.0)[1]
    print(json.dumps({"ready": True}), file=answers, flush=True)
    for line in sys.stdin:
        start = time.perf_counter()
        steps, updates = contender.work(float(line))
        seconds = time.perf_counter() - start
        answer = {"steps": steps, "updates": updates, "seconds": seconds}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
