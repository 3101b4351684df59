"""The RLlib configuration: what it takes, what it refuses by name."""

import pytest
from ray import tune
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.callbacks.callbacks import RLlibCallback

from algorithms.dqn import DQN, DQNConfig, DQNOptions
from arcadia.errors import UserError


def test_a_fresh_config_has_the_defaults_of_fast():
    config = DQNConfig()
    config.environment("CartPole-v1")
    assert config.options == DQNOptions(env="CartPole-v1")
    assert config.algo_class is DQN


def test_options_are_set_by_training_by_attribute_and_by_dict():
    one = DQNConfig().training(n_step=5, lr=1e-3)
    two = DQNConfig()
    two.n_step, two.lr = 5, 1e-3
    three = DQNConfig().update_from_dict({"n_step": 5, "lr": 1e-3})
    assert one.options == two.options == three.options


def test_rllibs_own_methods_set_the_options_they_share():
    config = DQNConfig().environment("CartPole-v1").env_runners(num_envs_per_env_runner=3)
    config.learners(num_gpus_per_learner=0.5)
    assert config.options.env == "CartPole-v1"
    assert config.options.num_envs_per_env_runner == 3
    assert config.options.num_gpus_per_learner == 0.5


@pytest.mark.parametrize(
    "misspell",
    [
        lambda: DQNConfig().training(n_steps=5),
        lambda: DQNConfig().update_from_dict({"n_steps": 5}),
        lambda: setattr(DQNConfig(), "n_steps", 5),
        lambda: DQNConfig().__setitem__("n_steps", 5),
        lambda: DQNConfig.preset("fast", n_steps=5),
        lambda: DQN(config={"n_steps": 5}),
    ],
)
def test_a_misspelt_option_raises_everywhere_and_names_the_nearest(misspell):
    with pytest.raises(UserError, match=r'n_steps: .*did you mean "n_step"'):
        misspell()


def test_a_misspelt_rllib_setting_names_the_nearest_too():
    with pytest.raises(UserError, match=r"evaluation_intervall.*evaluation_interval"):
        DQNConfig().evaluation_intervall = 3


def test_a_config_survives_copies_dicts_and_states():
    config = DQNConfig.preset("nips2013", game="pong").debugging(seed=3)
    for other in (
        config.copy(),
        DQNConfig().update_from_dict(config.to_dict()),
        DQNConfig.from_state(config.get_state()),
    ):
        assert other.options == config.options
        assert other.seed == 3


def test_search_spaces_may_stand_where_values_do():
    config = DQNConfig.preset("fast", game="pong").training(lr=tune.loguniform(1e-5, 1e-3))
    assert isinstance(config.to_dict()["lr"], tune.search.sample.Domain)


class StepCallbacks(RLlibCallback):
    def on_episode_step(self, **_: object) -> None:
        pass


@pytest.mark.parametrize(
    ("configure", "words"),
    [
        (lambda c: c.learners(num_learners=1), "num_learners 1: needs actors that play"),
        (
            lambda c: c.env_runners(num_env_runners=2).learners(num_learners=3),
            "num_learners 3: cannot share a batch_size of 32 evenly",
        ),
        (
            lambda c: c.env_runners(num_env_runners=1).training(num_replay_shards=9),
            "num_replay_shards 9: 8 environments send to fewer",
        ),
        (
            lambda c: c.env_runners(num_env_runners=2).training(
                num_replay_shards=16, replay_capacity=500, learning_starts=100
            ),
            "replay_capacity 500: holds less than one batch in each shard",
        ),
        (lambda c: c.multi_agent(policies={"a", "b"}), "multi_agent"),
        (lambda c: c.framework("tf2"), "tf2"),
        (lambda c: c.training(train_batch_size_per_learner=8), "use batch_size"),
        (lambda c: setattr(c, "train_batch_size", 8), "use batch_size"),
        (lambda c: setattr(c, "grad_clip", 8.0), "use max_gradient_norm"),
        (lambda c: c.training(gamma=2.0), "gamma 2.0"),
        (lambda c: c.env_runners(rollout_fragment_length=0), "rollout_fragment_length"),
        (lambda c: c.env_runners(observation_filter="MeanStdFilter"), "observation_filter"),
        (lambda c: c.env_runners(compress_observations=True), "use replay_compression"),
        (lambda c: c.rl_module(model_config={"fcnet_hiddens": [8]}), "model_config: .*hidden_size"),
        (lambda c: c.resources(num_gpus=1), "num_gpus"),
        (lambda c: c.framework("torch", torch_compile_learner=True), "torch_compile_learner"),
        (lambda c: c.reporting(log_gradients=True), "log_gradients"),
        (lambda c: c.offline_data(output="somewhere"), "output"),
        (lambda c: c.callbacks(on_episode_step=print), "on_episode_step: .*use on_episode_end"),
        (lambda c: c.callbacks(StepCallbacks), "StepCallbacks.on_episode_step"),
        (
            lambda c: c.api_stack(
                enable_rl_module_and_learner=False, enable_env_runner_and_connector_v2=False
            ),
            "new API stack",
        ),
        (lambda c: setattr(c, "game", None), "game and env are both unset"),
        (lambda c: setattr(c, "game", "pnog"), 'did you mean "pong"'),
    ],
)
def test_what_does_not_fit_is_refused_by_name(configure, words: str):
    config = DQNConfig.preset("fast", game="pong")
    with pytest.raises(ValueError, match=words):
        configure(config)
        config.validate()


@pytest.mark.parametrize(
    "env",
    [
        *("CartPole-v1", "CartPole", "algorithms.envs.catch.Catch"),
        "gymnasium.envs.classic_control:CartPole-v1",
    ],
)
def test_names_of_environments_that_exist_pass(env: str):
    DQNConfig.preset("fast", env=env).validate()


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ("my.module.Env", "cannot be loaded: No module named 'my'"),
        ("gymnasium.Env2", "cannot be loaded: .*has no attribute 'Env2'"),
        ("module:Env-v0", "cannot be loaded: No module named 'module'"),
        ("gymnasium:Env-v0", "Environment `Env` doesn't exist"),
        ("..", "cannot be loaded"),
        (":", "cannot be loaded"),
        # What would be called, were it not looked at.
        ("os.abort", "is no environment; give the path of a gymnasium.Env"),
        ("sys.exit", "is no environment"),
    ],
)
def test_what_is_no_environment_is_refused_and_not_called(env: str, said: str):
    with pytest.raises(UserError, match=f'^env "{env}": {said}'):
        DQNConfig.preset("fast", env=env).validate()


def test_a_misspelt_environment_names_the_nearest():
    with pytest.raises(UserError, match=r'env "CartPoel-v1": .*did you mean "CartPole-v1"'):
        DQNConfig.preset("fast", env="CartPoel-v1").validate()


def test_it_is_an_ordinary_algorithm_config():
    assert issubclass(DQNConfig, AlgorithmConfig)
    DQNConfig.preset("fast", game="pong").validate()


def test_where_it_runs_is_set_in_rllibs_way_or_by_options():
    config = DQNConfig.preset("fast", game="pong")
    config.env_runners(num_env_runners=3, rollout_fragment_length=5).learners(num_learners=2)
    config.validate()
    options = config.options
    assert (options.num_env_runners, options.fragment_length, options.num_learners) == (3, 5, 2)
    assert options.num_streams == 24
    evaluation = config.get_evaluation_config_object()
    assert evaluation.options.num_env_runners == 1  # frames never come to the driver
    assert evaluation.options.num_learners == 0
    # It plays fewer environments than there are shards, which are not its own.
    few = DQNConfig.preset("fast", game="pong", num_env_runners=4, num_replay_shards=8)
    config = few.training(eval_episodes=1)
    config.validate()
    assert config.get_evaluation_config_object().options.num_streams == 1


@pytest.mark.parametrize(
    ("num_env_runners", "steps"), [(1, 8), (7, 8), (8, 7), (20, 3), (30, 2), (1_000, 2)]
)
def test_fragments_are_short_where_many_runners_would_make_the_ratio_swing(
    num_env_runners: int, steps: int
):
    options = DQNConfig.preset("fast", game="pong", num_env_runners=num_env_runners).options
    assert options.fragment_length == steps
    if num_env_runners <= 30:
        assert num_env_runners * 8 * steps <= 480


def test_tune_sets_aside_what_all_actors_need():
    config = DQNConfig.preset(
        "fast", game="pong", num_env_runners=2, num_replay_shards=3, num_learners=4
    )
    request = DQN.default_resource_request(config)
    assert request.required_resources["CPU"] == 1 + 2 + 1 + 4 + 3  # one evaluates
    alone = DQN.default_resource_request(DQNConfig.preset("fast", game="pong"))
    assert alone.required_resources["CPU"] == 1
