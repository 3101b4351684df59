"""A run on several Ray nodes of one machine, one of which is taken away in mid-run; a script.

Prints what `test_several_nodes.py` looks at, as one JSON object; run by it, in its environment.
"""

import json
import tempfile
from pathlib import Path

import ray
from ray.cluster_utils import Cluster
from ray.rllib.core.learner import learner_group
from ray.train.torch import TorchConfig

from algorithms.dqn import DQN, DQNConfig
from algorithms.dqn.distributed import Distributed
from algorithms.dqn.learner import DQNLearner
from algorithms.dqn.learners import LearnerActors


class OnCpu(DQNLearner):
    """Learns on the CPU though it has a GPU, because the GPUs here are Ray's only."""

    def build(self) -> None:
        self.config.num_gpus_per_learner = 0
        super().build()


def node_of(actor) -> str:
    """The node of a runner or a learner."""
    return ray.get(actor.apply.remote(lambda _: ray.get_runtime_context().get_node_id()))


def gpus_of(actor) -> list[int]:
    """The GPUs that Ray has set aside for it."""
    return ray.get(actor.apply.remote(lambda _: ray.get_gpu_ids()))


def main() -> None:
    # Without a card there is no NCCL, which RLlib asks for where learners have GPUs.
    learner_group._get_backend_config = lambda _: TorchConfig(backend="gloo")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    nodes = {
        "players": cluster.add_node(num_cpus=2, num_gpus=0, resources={"player": 2}),
        "more": cluster.add_node(num_cpus=2, num_gpus=0, resources={"player": 2}),
        "gpus": cluster.add_node(num_cpus=0, num_gpus=2),
    }
    cluster.connect()
    names = {node.node_id: name for name, node in nodes.items()}
    config = DQNConfig.preset(
        "fast",
        env="CartPole-v1",
        hidden_size=32,
        num_envs_per_env_runner=4,
        num_env_runners=2,
        num_replay_shards=2,
        num_learners=2,
        num_gpus_per_learner=1,
        num_cpus_per_replay_shard=0.5,
        learning_starts=200,
        steps_per_iteration=400,
        eval_period_frames=0,
        held_out_states=0,
    ).debugging(seed=1)
    # One runner a node, whichever comes first.
    config.env_runners(num_cpus_per_env_runner=0.5, custom_resources_per_env_runner={"player": 2})
    config.learners(learner_class=OnCpu)
    algo = config.build_algo()
    assert isinstance(algo, DQN) and isinstance(algo.loop, Distributed)
    loop = algo.loop
    assert isinstance(loop.learners, LearnerActors)
    (replay,) = (level.replay for level in loop.levels.values())

    def where() -> dict[str, list[str]]:
        return {
            "runners": [names[node_of(r.actor)] for r in loop._runners.all],
            "shards": [
                names[node] for node, _ in ray.get([s.place.remote() for s in replay.shards])
            ],
            "learners": [names[node_of(worker)] for worker in loop.learners.workers],
        }

    told = {"before": where(), "gpus": [gpus_of(worker) for worker in loop.learners.workers]}
    for _ in range(3):
        algo.train()
    told["updates"] = algo.num_updates
    # Shards on other machines are saved and restored in pieces.
    with tempfile.TemporaryDirectory() as folder:
        algo.save_to_path(folder)
        told["saved"] = sorted(path.name for path in Path(folder, "replay").iterdir())
        held = len(algo.replay)
        algo.restore_from_path(folder)
        told["kept"] = len(algo.replay) == held
    algo.train()
    cluster.remove_node(nodes["more"])
    cluster.add_node(num_cpus=2, num_gpus=0, resources={"player": 2})
    steps, updates = algo.num_env_steps, algo.num_updates
    for _ in range(200):
        algo.train()
        restarts = loop.faults()
        if (
            restarts["runner_restarts"]
            and restarts["shard_restarts"]
            and all(status.mass > 0 for status in replay.statuses)
            and not any(runner.starting for runner in loop._runners.all)
        ):
            break
    told["after"] = {"steps": algo.num_env_steps - steps, "updates": algo.num_updates - updates}
    told["faults"] = loop.faults()
    names |= {node["NodeID"]: names.get(node["NodeID"], "new") for node in ray.nodes()}
    told["places"] = where()
    algo.stop()
    ray.shutdown()
    cluster.shutdown()
    print(json.dumps(told))


if __name__ == "__main__":
    main()
