"""Nothing lost: a run that was saved and restored in a new process ends as the straight one."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

_PROGRAM = '''
import hashlib, json, pickle, sys
import numpy as np, ray, torch

torch.set_num_threads(1)
ray.init("local", num_cpus=1, include_dashboard=False, log_to_driver=False)
from algorithms.dqn import DQNConfig

task, folder, cases = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
apart = task == "save-apart"  # half way in a run of its own, so that saving could disturb nothing
HALF = 2  # iterations


def build(options):
    return DQNConfig.preset(**options).debugging(seed=5).build_algo()


def digest(value):
    """A hash of nested dicts, lists, arrays, tensors and plain values, by content."""
    sha = hashlib.sha256()

    def feed(x):
        if isinstance(x, torch.Tensor):
            x = x.detach().cpu().numpy()
        if isinstance(x, dict):
            for key in sorted(x, key=str):
                sha.update(str(key).encode())
                feed(x[key])
        elif isinstance(x, (list, tuple)):
            sha.update(str(len(x)).encode())
            for item in x:
                feed(item)
        elif isinstance(x, np.ndarray):
            sha.update(str((x.dtype, x.shape)).encode() + np.ascontiguousarray(x).tobytes())
        else:
            sha.update(repr(x).encode())

    feed(value)
    return sha.hexdigest()


def metrics(result):
    learner = result["learners"]["default_policy"]
    runner = result["env_runners"]
    return {
        "episodes": result["episodes"],
        "learner": {k: float(v) for k, v in learner.items() if not k.endswith("_per_s")
                    and k != "num_updates" and isinstance(v, (int, float, np.number))},
        "num_updates": int(learner["num_updates"]),
        "replay": {k: float(v) for k, v in result["replay"].items()},
        "epsilon": float(runner["epsilon"]),
        "lifetime": int(runner["num_env_steps_sampled_lifetime"]),
        "return_mean": repr(runner["episode_return_mean"]),
        "evaluation": {k: repr(v) for k, v in
                       result.get("evaluation", {}).get("env_runners", {}).items()
                       if k.startswith("episode_")},
        "iteration": result["training_iteration"],
    }


def end(algo, results):
    learner = algo.learner.get_state()
    return {
        "weights": digest(learner["rl_module"]),
        "optimizer": digest(learner["optimizer"]),
        "replay": digest(algo.replay.get_state()),
        "runner": digest({k: v for k, v in algo.runner.get_state().items() if k != "rl_module"}),
        "held_out": digest(algo.held_out),
        "counters": [algo.num_env_steps, algo.num_updates, algo.loop.updates_owed],
        "metrics": [metrics(r) for r in results],
    }


out = {}
for name, options in cases.items():
    path = f"{folder}/{name}"
    if task != "resume":
        straight = build(options)
        results = [straight.train() for _ in range(HALF)]
        half = straight
        if apart:
            half = build(options)
            for _ in range(HALF):
                half.train()
        depth, transitions = half.runner.stacks.depth.tolist(), len(half.replay)
        half.save_to_path(path)
        results += [straight.train() for _ in range(HALF)]
        out[name] = {"straight": end(straight, results[HALF:]), "depth": depth}
        out[name]["transitions"] = transitions
        for algo in {straight, half}:
            algo.stop()
    else:
        algo = build(options)
        algo.restore_from_path(path)
        out[name] = end(algo, [algo.train() for _ in range(HALF)])
        algo.stop()
print("OUT" + json.dumps(out))
'''


def run(*arguments: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("OUT")]
    assert lines, done.stdout[-2_000:] + done.stderr[-4_000:]
    return json.loads(lines[0].removeprefix("OUT"))


PONG = dict(name="fast", game="pong", epsilon_decay_frames=2_000, replay_capacity=5_000)
PIECES = dict(prioritized=True, num_atoms=51, target_update_rate=0.01, target_update_period=1)
SCHEDULES = dict(lr_schedule="linear", lr_decay_frames=2_000, max_gradient_norm=10.0)


def case(steps: int, **options: Any) -> dict[str, Any]:
    return PONG | {"steps_per_iteration": steps // 4, "held_out_states": 20} | options


def pieces(steps: int, learning_starts: int) -> dict[str, Any]:
    two = dict(num_envs_per_env_runner=2, learning_starts=learning_starts, eval_period_frames=0)
    return case(steps, **two, **PIECES, **SCHEDULES)


def fast(steps: int, learning_starts: int) -> dict[str, Any]:
    return case(
        steps,
        num_envs_per_env_runner=1,
        learning_starts=learning_starts,
        eval_period_frames=steps // 2,
        max_episode_frames=1_200,
        eval_episodes=2,
    )


CASES = {"fast": fast(800, 200), "pieces": pieces(400, 100)}


def train(
    cases: dict[str, Any], folder: Path, task: str = "save"
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Trains straight in one process, saving half way, and the other half in another."""
    words = str(folder), json.dumps(cases)
    return run(task, *words), run("resume", *words)


def check(name: str, saved: dict[str, Any], resumed: dict[str, Any], steps: int, updates: int):
    assert min(saved[name]["depth"]) > 20  # saved in mid-episode
    assert saved[name]["transitions"] >= steps // 2 - 10
    assert resumed[name]["counters"][0] == steps
    assert resumed[name]["counters"][1] >= updates
    assert resumed[name] == saved[name]["straight"]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, Any]]:
    return train(CASES, tmp_path_factory.mktemp("checkpoints"))


@pytest.mark.slow
def test_steps_of_pong_are_the_same_in_two_processes(both):
    check("fast", *both, steps=800, updates=140)


@pytest.mark.slow
def test_all_pieces_of_rainbow_go_on_in_another_process_as_in_one(both):
    check("pieces", *both, steps=400, updates=60)


@pytest.mark.slow
def test_two_thousand_steps_saved_by_another_run_than_the_straight_one(tmp_path: Path):
    cases = {"fast": fast(2_000, 500), "pieces": pieces(2_000, 300)}
    both = train(cases, tmp_path, "save-apart")
    check("fast", *both, steps=2_000, updates=370)
    check("pieces", *both, steps=2_000, updates=400)
