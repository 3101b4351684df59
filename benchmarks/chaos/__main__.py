"""Kills a random worker process of a job every so often, then the command, and begins it again.

The job is the real command with a Ray of its own, in a process group of its own. Workers are all
processes that carry an actor or a task of it out, Ray's own among them (what controls Ray Train's
workers, what counts for Ray Data); not Ray's servers and agents. A blow waits until the job has
finished something since the one before; at last the command itself is killed, with what it leaves
behind, begun again by --resume or the same words, and let be. Told are who was killed, the seconds
until more was finished than ever before, what was made again, how often the command had to be begun
again, and whether the result is whole: every frame, row, picture, step, trial; counters that never
fall but to the last checkpoint or snapshot; deaths that the job itself told; of Ray Train's jobs
also losses and weights, bit by bit, beside a run that nothing happens to.

    python -m benchmarks.chaos dqn stylize --json
    python -m benchmarks.chaos all --period 8 --markdown
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from rich.console import Console

from arcadia.errors import UserError
from benchmarks.chaos.kinds import KINDS, torment
from benchmarks.chaos.table import as_json, markdown, problems, table
from benchmarks.replay import machine


def main() -> int:
    """Kills, prints; 1 where a result is not whole, or there is none."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kinds", nargs="+", choices=[*KINDS, "all"], metavar="KIND")
    parser.add_argument("--period", type=float, default=60, help="s between blows (default: 60)")
    parser.add_argument("--kills", type=int, default=3, help="of workers (default: 3)")
    parser.add_argument("--seed", type=int, default=0, help="of whom they hit (default: 0)")
    parser.add_argument("--scale", type=float, default=1, help="of the work (default: 1)")
    parser.add_argument("--folder", type=Path, help="keeps all files, by default temporary ones")
    parser.add_argument("--markdown", action="store_true", help="print rows for a document, too")
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    options = parser.parse_args()
    names = list(KINDS) if "all" in options.kinds else list(dict.fromkeys(options.kinds))
    where = machine() | {name: version(name) for name in ("ray", "torch")}
    print(", ".join(f"{name} {value}" for name, value in where.items()), flush=True)
    root = options.folder or Path(tempfile.mkdtemp(prefix="chaos-"))
    outcomes, has_failed = [], False
    try:
        for name in names:
            try:
                outcome = torment(
                    name,
                    root.absolute() / name,
                    period_s=options.period,
                    kills=options.kills,
                    seed=options.seed,
                    scale=options.scale,
                )
            except (UserError, OSError, RuntimeError) as error:  # the others are tried all the same
                print(f"chaos: {error}", file=sys.stderr, flush=True)
                has_failed = True
                continue
            outcomes.append(outcome)
            for line in problems(outcome):
                print(line, flush=True)
    finally:
        if options.folder is None:
            shutil.rmtree(root, ignore_errors=True)
    title = f"{options.kills} workers killed, one every {options.period:g} s, then the command"
    Console(width=140).print(table(outcomes, title))
    if options.markdown:
        print(markdown(outcomes))
    if options.json:
        kinds = {outcome.kind: as_json(outcome) for outcome in outcomes}
        told = {"machine": where, "period_s": options.period, "seed": options.seed, "kinds": kinds}
        print(json.dumps(told))
    return int(has_failed or not all(outcome.is_complete for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
