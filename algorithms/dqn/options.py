"""The options of DQN, once.

Everything that takes an option takes it from :class:`DQNOptions`: the command line, the arguments
and attributes of :class:`~algorithms.dqn.config.DQNConfig`, and the keys of a Tune search space.

Source: Mnih et al. 2013, *Playing Atari with Deep Reinforcement Learning* (arXiv:1312.5602),
sections 4 and 5, and Mnih et al. 2015, *Human-level control through deep reinforcement learning*,
Methods and Extended Data Table 1; Hessel et al. 2018, *Rainbow* (arXiv:1710.02298), and the papers
whose pieces it joins.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

from algorithms.dqn.option_values import check_values
from algorithms.noisy.options import ActivationOptions, AnnealOptions
from arcadia.errors import UserError, did_you_mean, said_of
from arcadia.typed import from_json

if TYPE_CHECKING:
    from arcadia.runs import RunFolder


AnyOptions = TypeVar("AnyOptions", bound="DQNOptions")

MAX_STEPS_AHEAD = 480
"""Steps that runners may be ahead of the learners: 5 % of 10,000, and a little less."""


@dataclass(frozen=True, kw_only=True)
class _PlainOptions:
    """Those of DQN but for its activation functions."""

    algorithm_name: ClassVar[str] = "DQN"
    """What errors and reports call the algorithm."""

    # What is played
    game: str | None = None
    """Atari game by ROM name, such as pong or space_invaders; played on ale-py's native vector
    environment."""
    env: str | None = None
    """Any other environment: a Gymnasium id, a name given to ray.tune.register_env, or the path
    module.Class. Its actions must be Discrete. Give either this or a game."""
    num_envs_per_env_runner: int = 8
    """Environments stepped side by side; their actions come from one batched forward pass."""

    # Where it runs
    num_env_runners: int = 0
    """Actors that play, anywhere in the cluster; 0: one process plays, stores and learns."""
    num_replay_shards: int = 1
    """Actors that hold the replay among them, once there are num_env_runners."""
    num_learners: int = 0
    """Actors that learn, each from its part of every minibatch; 0: learn where training was
    started. Needs num_env_runners."""
    num_gpus_per_learner: float = 0
    """GPUs of each learner; 0 learns on the CPU."""
    num_cpus_per_replay_shard: float = 1
    """CPUs of the cluster that a shard takes."""
    rollout_fragment_length: int | None = None
    """Steps of each environment that a runner sends at once; by default 8, fewer where many runners
    would make the ratio of updates to steps swing."""
    weights_period: int = 40
    """Minibatch updates between broadcasts of the network to the runners."""
    learner_snapshot_period: int = 500
    """Minibatch updates between snapshots of num_learners learners; what came after the latest is
    learnt again when one of them dies."""

    # Atari
    emulator: Literal["vector", "ram"] = "vector"
    """vector: ale-py's native vector environment, whose threads work while the learner does. ram:
    the plain emulator in this thread, whose memory can be read, as goals need it."""
    frame_skip: int = 4
    """Emulator frames an action is repeated for (2013: 4, and 3 for Space Invaders)."""
    frame_stack: int = 4
    """Latest image frames that make one observation; vector observations are never stacked."""
    preprocess: Literal["crop", "resize"] = "crop"
    """crop: grey, 110x84, then 84 rows from crop_top (2013). resize: grey, 84x84 (2015)."""
    crop_top: int = 18
    """First of the 84 rows kept of 110 (0 to 26). The paper says only "roughly captures the playing
    area"; 18 cuts the score above and 8 rows below, and keeps Pong's whole field."""
    max_pool: bool = False
    """Pixel-wise maximum over the last two emulator frames, against flicker (2015; not in 2013)."""
    sticky_actions: float = 0.0
    """Chance (0 to 1) that the emulator repeats the last action; the papers had none."""
    noop_max: int = 30
    """At most so many no-op actions, a random number of them, open an episode (2015: 30)."""
    fire_on_reset: bool = True
    """Press FIRE at an episode's start in games that wait for it."""
    full_action_space: bool = False
    """All 18 actions of the console instead of those the game uses."""
    life_loss_terminal: bool = False
    """A lost life ends the episode for learning (discount 0); the game itself goes on."""
    max_episode_frames: int = 108_000
    """Emulator frames after which an episode is cut (30 minutes of play)."""

    # What is learned
    network: Literal["nips2013", "nature2015"] = "nips2013"
    """Convolutions for images: 16 8x8/4, 32 4x4/2, fc 256 (2013), or 32 8x8/4, 64 4x4/2, 64 3x3/1,
    fc 512 (2015). Vectors get two hidden layers of hidden_size."""
    hidden_size: int = 256
    """Width of the two hidden layers for vector observations."""
    double: bool = True
    """Double Q-learning: the online network chooses the next action, the target values it."""
    dueling: bool = True
    """Separate value and advantage streams after the torso."""
    n_step: int = 3
    """Steps of reward summed before bootstrapping."""
    num_atoms: int = 1
    """Atoms of the distribution of returns that is learnt: 51 is C51 (Bellemare et al. 2017), whose
    cross entropy then takes the place of `loss`; 1 learns the mean return alone."""
    v_min: float = -10.0
    """Return of the lowest atom."""
    v_max: float = 10.0
    """Return of the highest atom."""
    gamma: float = 0.99
    """Discount a step (0 to 1). Not in the 2013 paper; 0.99 is 2015's."""
    clip_rewards: bool = True
    """Learn from the sign of the reward: -1, 0 or 1. Reported scores are the game's own."""
    loss: Literal["squared", "huber"] = "huber"
    """0.5 * td**2 (2013, whose gradient is equation 3), or Huber with its knee at 1 (2015's clipped
    error)."""
    target_update_period: int = 1_000
    """Minibatch updates between updates of the target network; 0: no target network (2013)."""
    target_update_rate: float = 1.0
    """Share (above 0, to 1) of the way to the online network that an update moves the target: 1
    copies it; 0.005 with a target_update_period of 1 is a Polyak average."""

    # How it is learned
    batch_size: int = 32
    """Transitions in a minibatch."""
    updates_per_step: float = 0.25
    """Minibatch updates for every step taken, held over the whole run."""
    updates_per_call: int = 2
    """Minibatches handed to the learner in one call."""
    overlap: bool = True
    """Learn while the emulator steps; the newest transition then enters the replay after the
    update instead of before it."""
    optimizer: Literal["adam", "rmsprop"] = "adam"
    """Adam, or RMSProp (2013, 2015)."""
    lr: float = 2e-4
    """Learning rate, at the start where a schedule lowers it. Not in the 2013 paper; its preset
    takes 2015's 2.5e-4."""
    lr_schedule: Literal["constant", "linear", "cosine"] = "constant"
    """How the learning rate goes from lr to lr_end over lr_decay_frames."""
    lr_end: float = 0.0
    """Learning rate from lr_decay_frames on, unless lr_schedule is constant."""
    lr_decay_frames: int | None = None
    """Frames over which the learning rate falls; by default total_frames."""
    max_gradient_norm: float | None = None
    """Scale the gradient down to this L2 norm where it is longer; by default never."""
    optimizer_eps: float = 1e-5
    """Added to the denominator of the step, outside its root."""
    rmsprop_decay: float = 0.95
    """Decay of RMSProp's running squared gradient (2015)."""
    rmsprop_centered: bool = True
    """Subtract the squared running mean of the gradient (2015's variant of RMSProp)."""
    autocast: Literal["none", "bf16", "auto"] = "none"
    """bf16: learn with the torso and hidden layer in bfloat16 (values, losses and weights stay
    float32): more steps a second, each teaching less (Catch took twice as many). auto: where the
    GPU or CPU computes in bfloat16 by itself. Not in the papers."""
    channels_last: bool = False
    """Keep images with their channels innermost, which some CPUs and GPUs convolve sooner."""
    compile: bool = False
    """Learn with a network compiled by torch.compile, which takes a minute at the start and, on a
    CPU, needs a C++ compiler."""

    # Replay
    replay_capacity: int = 1_000_000
    """Frames kept (the latest), each once; about as many transitions."""
    replay_max_bytes: int | None = None
    """Ceiling on the replay's memory in bytes; the oldest frames leave first."""
    replay_compression: Literal["lz4", "none"] = "lz4"
    """How image frames are kept. Vector observations are never compressed."""
    prioritized: bool = False
    """Replay transitions by how wrong their values were (Schaul et al. 2016, proportional), instead
    of uniformly."""
    priority_exponent: float = 0.5
    """Power (0: uniform) that makes a priority of an error: alpha; Rainbow takes 0.5."""
    importance_exponent_start: float = 0.4
    """Power (0 to 1) of the weights that correct for the priorities, at the start: beta."""
    importance_exponent_end: float = 1.0
    """The same from importance_exponent_frames on."""
    importance_exponent_frames: int | None = None
    """Frames over which it rises linearly; by default total_frames."""
    save_replay: Literal["last", "every", "none"] = "last"
    """Whether the replay is kept with the last checkpoint, with every one, or never; without it a
    resumed run first fills its replay again."""
    learning_starts: int = 5_000
    """Frames in the replay before the first update; counted in the replay itself, so that a
    restored run does not learn from an almost empty one."""

    # Exploration
    epsilon_start: float = 1.0
    """Chance of a random action at the start."""
    epsilon_end: float = 0.02
    """Chance of a random action from epsilon_decay_frames on."""
    epsilon_decay_frames: int = 100_000
    """Frames over which epsilon falls (2013: 1 M)."""
    epsilon_schedule: Literal["linear", "exponential"] = "linear"
    """How it falls: by equal steps (both papers) or by equal factors."""
    epsilon_eval: float = 0.05
    """Chance of a random action when evaluated (both papers)."""
    frames_are: Literal["seen", "emulated"] = "seen"
    """What the options given in frames count: frames the agent sees, one a step, or emulator
    frames, frame_skip a step. The papers leave it open; their replay of frames counts seen ones."""
    total_frames: int = 10_000_000
    """Frames after which training ends."""

    # What is reported
    eval_period_frames: int = 100_000
    """Frames between evaluations during training, after each of which the best checkpoint so far is
    kept beside the last; 0: none."""
    eval_episodes: int = 10
    """Whole episodes that such an evaluation plays, with epsilon_eval."""
    steps_per_iteration: int = 1_000
    """Steps in one training iteration, after which metrics are reported."""
    held_out_states: int = 500
    """States collected by a random player before training, on which the mean greatest Q-value is
    followed (2013, section 5.1); 0: none."""
    held_out_seed: int = 2013
    """Seed of that random player, so that runs are measured on the same states."""

    def __post_init__(self) -> None:
        """Refuses values that cannot work, naming option, value and way out."""
        check_values(self)
        if self.game is not None and self.env is not None:
            raise UserError(
                f"game {self.game!r} and env {self.env!r}: give one of the two, not both"
            )
        if self.double and self.target_update_period == 0:
            raise UserError(
                "double True: needs a target network; set target_update_period above 0 "
                "or double to False"
            )
        if self.num_atoms > 1 and self.v_min >= self.v_max:
            raise UserError(f"v_min {self.v_min:g}: must be below v_max {self.v_max:g}")
        if self.epsilon_schedule == "exponential" and 0 in (self.epsilon_start, self.epsilon_end):
            raise UserError(
                "epsilon_schedule exponential: never reaches 0; give epsilon_start and "
                "epsilon_end above it"
            )
        if self.learning_starts > self.replay_capacity:
            raise UserError(
                f"learning_starts {self.learning_starts}: is above replay_capacity "
                f"{self.replay_capacity}, so learning would never start"
            )
        if self.num_learners and not self.num_env_runners:
            raise UserError(
                f"num_learners {self.num_learners}: needs actors that play; give num_env_runners, "
                "or leave num_learners at 0"
            )
        if self.is_distributed and self.num_replay_shards > self.num_streams:
            raise UserError(
                f"num_replay_shards {self.num_replay_shards}: {self.num_streams} environments send "
                "to fewer shards; give at most as many"
            )
        if self.num_learners and self.batch_size % self.num_learners:
            raise UserError(
                f"num_learners {self.num_learners}: cannot share a batch_size of "
                f"{self.batch_size} evenly; give a number that divides it"
            )
        # Windows of stack and n-step must fit with room for a batch's worth of them.
        needed = self.batch_size + self.frame_stack + self.n_step
        needed *= self.num_replay_shards if self.num_env_runners else 1
        if self.replay_capacity < needed:
            shards = " in each shard" if self.num_env_runners else ""
            raise UserError(
                f"replay_capacity {self.replay_capacity}: holds less than one batch{shards}; "
                f"give at least {needed}"
            )

    @property
    def num_updates(self) -> int:
        """Minibatch updates of the whole training, about."""
        return max(round(self.updates_per_step * self.steps(self.total_frames)), 1)

    @property
    def emulator_frames_per_step(self) -> int:
        """Emulator frames of one action: `frame_skip` in Atari, 1 elsewhere."""
        return self.frame_skip if self.game is not None else 1

    @property
    def frames_to_learn(self) -> int:
        """Frames in the replay before the first update: `learning_starts`, and whole windows."""
        return max(self.learning_starts, self.batch_size + self.num_streams * (self.n_step + 1))

    @property
    def is_distributed(self) -> bool:
        """Whether actors play and store, instead of one process."""
        return self.num_env_runners > 0

    @property
    def num_streams(self) -> int:
        """Environments of all runners."""
        return max(1, self.num_env_runners) * self.num_envs_per_env_runner

    @property
    def num_shards(self) -> int:
        """Actors that hold replays, of all levels."""
        return self.num_replay_shards

    @property
    def fragment_length(self) -> int:
        """`rollout_fragment_length`, or what is chosen for it.

        As long as all runners together are at most 500 steps ahead, the ratio of updates to steps
        holds within 5 % over any 10,000 steps; from 2 steps an environment on, that comes second.
        """
        if self.rollout_fragment_length is not None:
            return self.rollout_fragment_length
        return min(8, max(2, MAX_STEPS_AHEAD // self.num_streams))

    def steps(self, frames: int) -> int:
        """Converts an option given in frames to steps (see `frames_are`)."""
        return frames if self.frames_are == "seen" else frames // self.emulator_frames_per_step

    def epsilon(self, step: int) -> float:
        """Chance of a random action after `step` steps: it falls, then stays (2013, section 5)."""
        done = self._done(step, self.epsilon_decay_frames)
        if self.epsilon_schedule == "exponential":
            return self.epsilon_start ** (1 - done) * self.epsilon_end**done
        return self.epsilon_start + done * (self.epsilon_end - self.epsilon_start)

    def learning_rate(self, step: int) -> float:
        """Learning rate after `step` steps."""
        if self.lr_schedule == "constant":
            return self.lr
        done = self._done(step, self.lr_decay_frames)
        if self.lr_schedule == "cosine":
            done = (1 - math.cos(math.pi * done)) / 2
        return self.lr + done * (self.lr_end - self.lr)

    def importance_exponent(self, step: int) -> float:
        """Power of the importance weights after `step` steps (Schaul et al. 2016, section 3.4)."""
        done = self._done(step, self.importance_exponent_frames)
        start, end = self.importance_exponent_start, self.importance_exponent_end
        return start + done * (end - start)

    def _done(self, step: int, frames: int | None) -> float:
        """The share (0 to 1) of a schedule that is behind after `step` steps."""
        return min(1.0, step / max(1, self.steps(self.total_frames if frames is None else frames)))


# The activation's options come last, on the command line, too: a class's fields are behind those of
# the classes it is made of, the last of them first.
@dataclass(frozen=True, kw_only=True)
class DQNOptions(AnnealOptions, ActivationOptions, _PlainOptions):
    """All options of DQN. The defaults are those of the preset `fast`.

    A *step* is one action of one environment. A *frame* is what `frames_are` says. The activation
    is that of the heads' hidden layer; noisy ones are noisy where the network learns, and have
    their expectation where it acts, and in the values that are learnt towards.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_noise()
        self.check_anneal(self, self.activation, is_noisy=self.is_noisy)


def option_names(cls: type[DQNOptions] = DQNOptions) -> tuple[str, ...]:
    """Names of all options, in the order of their class."""
    return tuple(field.name for field in dataclasses.fields(cls))


def check_option_names(names: Any, cls: type[DQNOptions] = DQNOptions) -> None:
    """Raises UserError for the first name that is no option, with the nearest that is one."""
    known = option_names(cls)
    for name in names:
        if name not in known:
            near = did_you_mean(name, known)
            raise UserError(f"{name}: no option of {cls.algorithm_name}{near}")


def options_of(run: RunFolder, cls: type[AnyOptions] = DQNOptions) -> AnyOptions:
    """The options a run was made with.

    Args:
        run: The run.
        cls: Of its algorithm.

    Raises:
        UserError: the run's config holds an option that this version does not know, or another
            value than it may have.
    """
    with said_of(run.storage.shown("config.json")):
        options = run.config.get("options")
        check_option_names(options if isinstance(options, dict) else (), cls)
        return from_json(cls, options)
