"""A policy of two levels outside Ray: goals, actions towards them, and files that are none."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.torch import save_file

from algorithms.dqn import load_policy as load_flat
from algorithms.dqn.playing import load_runner
from algorithms.dqn.policy_file import POLICY_FILE
from algorithms.hdqn import HDQNConfig, load_policy
from algorithms.hdqn.options import CONTROLLER, META
from algorithms.hdqn.policy import HierarchicalPolicy
from algorithms.hdqn.runner import HDQNRunner
from arcadia.errors import UserError
from arcadia.runs import RunFolder


@pytest.mark.parametrize(
    ("name", "shape"), [("key_door_run", (137,)), ("montezuma_run", (4, 84, 84))]
)
def test_a_policy_thinks_what_the_runner_thinks(name: str, shape: tuple, request):
    run: RunFolder = request.getfixturevalue(name)
    policy = load_policy(run.uri)
    runner = load_runner(run, num_envs=3, seed=0, config_class=HDQNConfig)
    assert isinstance(runner, HDQNRunner)
    assert policy.observation_shape == shape
    assert policy.goals == runner.goals.names
    for _ in range(5):
        runner.start_step(0.5)
        observation = runner.stacks.observation
        seen = observation.reshape(3, *shape)
        values = policy.q_values(seen, runner.goal)
        np.testing.assert_array_equal(values, runner.q_values(observation))
        np.testing.assert_array_equal(policy.goal_values(seen), runner.goal_values(observation))
        assert policy.predict(seen, runner.goal).tolist() == values.argmax(axis=1).tolist()
        alone = policy.q_values(seen[1], int(runner.goal[1]))
        np.testing.assert_allclose(alone, values[1], rtol=1e-5, atol=1e-7)
        runner.finish_step()
    runner.stop()


def test_goals_and_actions_are_the_best_or_at_epsilon_random(key_door_run):
    policy = load_policy(key_door_run.uri, seed=3)
    assert policy.step >= 200 and policy.options.env == "KeyDoor-v0"
    env = policy.make_env()
    observation, info = env.reset(seed=1)
    assert info["agent"] == (3, 8)  # by which a goal is judged
    assert env.step(np.int64(2))[-1]["agent"] == (3, 7)
    goal = policy.choose_goal(observation)
    assert policy.goals[goal] == "key"
    assert policy.predict(observation, int(goal)) == 2
    many = np.tile(observation, (2_000, 1))
    assert set(policy.choose_goal(many).tolist()) == {0}
    policy.options = policy.options.__class__(env="KeyDoor-v0", epsilon_eval=0.4)
    chosen = policy.choose_goal(many, deterministic=False)
    assert np.mean(chosen != 0) == pytest.approx(0.3, abs=0.04)  # a quarter hits the greedy one
    acted = policy.predict(many, 1, deterministic=False)
    assert np.mean(acted != 2) == pytest.approx(0.3, abs=0.04)


def test_what_does_not_fit_is_refused(key_door_run):
    policy = load_policy(key_door_run.uri)
    with pytest.raises(ValueError, match="goals are numbered from 0 to 3"):
        policy.q_values(np.zeros(137), 4)
    with pytest.raises(ValueError, match=r"shape \(5,\): needs \(137,\)"):
        policy.choose_goal(np.zeros(5))
    with pytest.raises(UserError, match="here: learnt the goals key, door"):
        policy.check_goals(["key"], policy.goal_inputs.numpy(), "here")
    with pytest.raises(UserError, match="looked different"):
        policy.check_goals(policy.goals, 2 * policy.goal_inputs.numpy(), "here")


def test_nothing_of_ray_is_imported(key_door_run):
    program = (
        "import sys; from algorithms.hdqn import load_policy\n"
        f"policy = load_policy({key_door_run.uri!r}); env = policy.make_env()\n"
        "observation, _ = env.reset(seed=1); goal = policy.choose_goal(observation)\n"
        "for _ in range(5): observation = env.step(policy.predict(observation, goal))[0]\n"
        "assert 'ray' not in sys.modules; print(observation.shape)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "(137,)\n", done.stderr


def test_files_that_are_no_policy_are_told_in_one_line(key_door_run, tmp_path: Path):
    with pytest.raises(UserError, match='a run of kind "hdqn", not dqn'):
        load_flat(key_door_run.uri)
    checkpoint, _ = key_door_run.find_checkpoint("last")
    with pytest.raises(UserError, match="holds no policy of DQN, or one of another version"):
        load_flat(checkpoint)
    file = tmp_path / POLICY_FILE
    file.write_bytes(b"not ours")
    with pytest.raises(UserError, match="cannot be read"):
        load_policy(tmp_path)
    with safe_open(Path(checkpoint, POLICY_FILE), framework="pt") as saved:
        described = saved.metadata()
        weights = {name: saved.get_tensor(name) for name in saved.keys()}  # noqa: SIM118
    save_file(weights, file, metadata=described)
    assert isinstance(load_policy(tmp_path), HierarchicalPolicy)
    arguments = json.loads(described["networks"])
    arguments[META], arguments[CONTROLLER] = arguments[CONTROLLER], arguments[META]
    save_file(weights, file, metadata=described | {"networks": json.dumps(arguments)})
    with pytest.raises(UserError, match="damaged"):
        load_policy(tmp_path)
    save_file(weights, file, metadata={k: v for k, v in described.items() if k != "goals"})
    with pytest.raises(UserError, match="damaged"):
        load_policy(tmp_path)


def test_a_checkpoint_of_other_goals_is_not_played(key_door_run, tmp_path: Path):
    config = key_door_run.config
    options = config["options"] | {"goals": "algorithms.hdqn.chain_goals:ChainGoals"}
    other = RunFolder.create(
        tmp_path / "run", kind="hdqn", config=config | {"options": options}, seed=1
    )
    other.publish_checkpoint(Path(key_door_run.find_checkpoint("last")[0]), 7)
    with pytest.raises(UserError, match="learnt the goals key, door, left gap, right gap"):
        load_runner(other, num_envs=1, seed=0, config_class=HDQNConfig)
