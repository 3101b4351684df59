"""The paper's seven games with one set of hyper-parameters (Mnih et al. 2013, section 5).

arcadia tune tune_configs/dqn_seven_games.py
"""

from ray import tune

from algorithms.dqn import DQNConfig
from algorithms.dqn.paper_scores import TABLE_1

METRIC = "env_runners/episode_return_mean"


def sweep() -> tuple[DQNConfig, tune.TuneConfig]:
    """A trial a game, all as long as in the paper: ten million frames that the agent saw.

    Scores of different games cannot be compared: the table is the result, no trial is the best.
    """
    config = DQNConfig.preset("nips2013", game=tune.grid_search(list(TABLE_1)))
    return config, tune.TuneConfig(metric=METRIC, mode="max", num_samples=1)
