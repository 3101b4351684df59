"""The learner: what is counted per minibatch, and that a call of several is several calls."""

import pickle
from dataclasses import fields, replace

import gymnasium as gym
import numpy as np
import pytest
import torch
from ray.rllib.core import DEFAULT_MODULE_ID

from algorithms.dqn import DQNConfig
from algorithms.dqn.learner import DQNLearner
from algorithms.dqn.losses import categorical_q_learning
from algorithms.replay import Batch


def learner(**options: object) -> DQNLearner:
    torch.manual_seed(0)
    defaults = {"env": "CartPole-v1", "hidden_size": 16, "autocast": "none"}
    config = DQNConfig.preset("fast", **(defaults | options))
    config.debugging(seed=0)
    spaces = {
        DEFAULT_MODULE_ID: (
            gym.spaces.Box(-1, 1, (1, 4), np.float32),
            gym.spaces.Discrete(3),
        )
    }
    built = config.build_learner(spaces=spaces)
    assert isinstance(built, DQNLearner)
    return built


def batch(size: int, seed: int = 0) -> Batch:
    rng = np.random.default_rng(seed)
    rows = np.arange(size)[:, np.newaxis]
    s_tm1 = rng.standard_normal((size, 4)).astype(np.float32)
    a_tm1, r_t = rng.integers(3, size=size), rng.standard_normal(size).astype(np.float32)
    discount_t = np.where(rng.random(size) < 0.2, 0, 0.99).astype(np.float32)
    s_t = rng.standard_normal((size, 4)).astype(np.float32)
    return Batch(
        frames=np.concatenate([s_tm1, s_t]),
        planes_tm1=rows,
        planes_t=size + rows,
        a_tm1=a_tm1,
        r_t=r_t,
        discount_t=discount_t,
        goal=np.zeros(size, np.int64),
        duration=np.ones(size, np.int64),
        id=np.arange(size),
        origin=np.zeros(size, np.int64),
        weight=np.ones(size, np.float32),
    )


def part(whole: Batch, at: slice) -> Batch:
    columns = {f.name: getattr(whole, f.name) for f in fields(Batch)}
    return Batch(**{n: c if n == "frames" else c[at] for n, c in columns.items()})


def weights(of: DQNLearner) -> np.ndarray:
    return torch.cat([p.detach().flatten() for p in of.dqn_module.parameters()]).numpy()


def test_three_minibatches_in_a_call_are_three_calls_of_one():
    together, apart = learner(target_update_period=2), learner(target_update_period=2)
    whole = batch(96)
    together.update_minibatches(whole, 3)
    for i in range(3):
        apart.update_minibatches(part(whole, slice(32 * i, 32 * (i + 1))), 1)
    np.testing.assert_array_equal(weights(together), weights(apart))
    assert together.num_updates == apart.num_updates == 3


def test_the_target_moves_every_so_many_minibatches_not_calls():
    one = learner(target_update_period=5)

    def distance() -> float:
        pairs = zip(
            one.dqn_module.target.parameters(), one.dqn_module.online.parameters(), strict=True
        )
        return sum(float((a - b).detach().abs().sum()) for a, b in pairs)

    one.update_minibatches(batch(4 * 32), 4)
    assert distance() > 0
    one.update_minibatches(batch(32), 1)
    assert distance() == 0
    # Nine more in one call: the target moved at the fifth of them and the four after it differ.
    one.update_minibatches(batch(9 * 32), 9)
    assert one.num_updates == 14
    assert distance() > 0


def test_one_update_is_the_formula():
    one = learner(
        double=False, dueling=False, target_update_period=0, loss="squared", optimizer="rmsprop"
    )
    b = batch(32)
    module = one.dqn_module
    with torch.no_grad():
        s_tm1, s_t = torch.tensor(b.s_tm1), torch.tensor(b.s_t)
        target = torch.tensor(b.r_t) + torch.tensor(b.discount_t) * module.online(s_t).max(1).values
        prediction = module.online(s_tm1)[torch.arange(32), torch.tensor(b.a_tm1)]
    result, errors = one.update_minibatches(b, 1)
    td = target - prediction
    assert result["loss"] == pytest.approx(float((0.5 * td**2).mean()), rel=1e-5)
    assert result["td_error_abs"] == pytest.approx(float(td.abs().mean()), rel=1e-5)
    assert result["q"] == pytest.approx(float(prediction.mean()), abs=1e-5)
    np.testing.assert_allclose(errors, td.abs().numpy(), rtol=1e-4, atol=1e-6)


def test_losses_under_a_seed_are_golden():
    one, losses = learner(), []
    for i in range(5):
        losses.append(one.update_minibatches(batch(64, seed=i), 2)[0]["loss"])
    assert losses == pytest.approx(GOLDEN, rel=1e-3)


GOLDEN = [0.375759, 0.323473, 0.451865, 0.482074, 0.398684]


@pytest.mark.parametrize("optimizer", ["adam", "rmsprop"])
def test_a_restored_learner_goes_on_as_the_straight_one(optimizer: str):
    straight = learner(optimizer=optimizer, target_update_period=3)
    straight.update_minibatches(batch(64), 2)
    state = straight.get_state()
    straight.update_minibatches(batch(64, 1), 2)
    restored = learner(optimizer=optimizer, target_update_period=3)
    restored.set_state(state)
    assert restored.num_updates == 2
    restored.update_minibatches(batch(64, 1), 2)
    np.testing.assert_array_equal(weights(straight), weights(restored))


@pytest.mark.parametrize("optimizer", ["adam", "rmsprop"])
def test_a_restored_learner_goes_on_with_channels_innermost(optimizer: str):
    def pictures(seed: int) -> Batch:
        frames = np.random.default_rng(seed).integers(256, size=(64, 84, 84), dtype=np.uint8)
        planes = np.arange(64).reshape(2, 8, 4)
        return replace(batch(8, seed), frames=frames, planes_tm1=planes[0], planes_t=planes[1])

    def build(channels_last: bool) -> DQNLearner:
        torch.manual_seed(0)
        config = DQNConfig.preset("fast", game="pong", channels_last=channels_last)
        config.training(optimizer=optimizer).debugging(seed=0)
        space = gym.spaces.Box(0, 255, (4, 84, 84), np.uint8)
        spaces = {DEFAULT_MODULE_ID: (space, gym.spaces.Discrete(3))}
        return config.build_learner(spaces=spaces)  # type: ignore[return-value]

    straight, restored, plain = build(True), build(True), build(False)
    for one in (straight, plain):
        one.update_minibatches(pictures(0), 1)
    # As a checkpoint has it: plain arrays, which keep no layout.
    restored.set_state(pickle.loads(pickle.dumps(straight.get_state())))
    for one in (straight, restored, plain):
        for seed in (1, 2):
            one.update_minibatches(pictures(seed), 1)
    np.testing.assert_array_equal(weights(straight), weights(restored))
    first = next(iter(restored.dqn_module.online.parameters()))
    assert first.is_contiguous(memory_format=torch.channels_last)
    np.testing.assert_allclose(weights(straight), weights(plain), atol=1e-3)


def test_bfloat16_learns_nearly_the_same_in_float32_weights():
    exact, fast = learner(), learner(autocast="bf16")
    for i in range(5):
        a, _ = exact.update_minibatches(batch(64, i), 2)
        b, _ = fast.update_minibatches(batch(64, i), 2)
        assert a["loss"] != b["loss"]
        assert a["loss"] == pytest.approx(b["loss"], rel=0.02)
    assert weights(fast).dtype == np.float32
    assert fast.dqn_module.online(torch.zeros(1, 1, 4)).dtype == torch.float32


def test_only_the_online_network_is_optimized():
    one = learner(target_update_period=1_000)
    before = [p.clone() for p in one.dqn_module.target.parameters()]
    one.update_minibatches(batch(64), 2)
    after = one.dqn_module.target.parameters()
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


C51 = dict(num_atoms=11, v_min=-3.0, v_max=3.0)


def test_one_update_of_c51_is_the_formula():
    one = learner(loss="huber", **C51)
    b, module = batch(32), one.dqn_module
    with torch.no_grad():
        s_tm1, s_t = torch.tensor(b.s_tm1), torch.tensor(b.s_t)
        loss, divergence = categorical_q_learning(
            logits_tm1=module.online.outputs(s_tm1),
            a_tm1=torch.tensor(b.a_tm1),
            r_t=torch.tensor(b.r_t),
            discount_t=torch.tensor(b.discount_t),
            logits_t_value=module.target.outputs(s_t),
            q_t_selector=module.online(s_t),
            support=torch.linspace(-3, 3, 11),
        )
    result, errors = one.update_minibatches(b, 1)
    assert result["loss"] == pytest.approx(float(loss.mean()), rel=1e-5)
    np.testing.assert_allclose(errors, divergence.numpy(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("options", [{}, C51])
def test_c51_and_the_mean_learn_from_a_fixed_batch(options: dict):
    one, b = learner(lr=1e-2, target_update_period=1_000, **options), batch(32)
    first = one.update_minibatches(b, 1)[1].mean()
    for _ in range(100):
        _, errors = one.update_minibatches(b, 1)
    assert errors.mean() < 0.5 * first


def test_weights_scale_what_an_example_teaches():
    b = batch(32)
    b.weight[:16] = 0
    whole, half = learner(), learner()
    weighed, _ = whole.update_minibatches(b, 1)
    alone, _ = half.update_minibatches(part(batch(32), slice(16, 32)), 1)
    assert weighed["loss"] == pytest.approx(alone["loss"] / 2, rel=1e-5)


def test_gradients_are_scaled_down_to_the_norm_asked_for():
    plain, clipped = (
        learner(optimizer="rmsprop", optimizer_eps=1.0, **o)
        for o in ({"max_gradient_norm": 1e6}, {"max_gradient_norm": 1e-3})
    )
    before = weights(plain)
    norm = plain.update_minibatches(batch(32), 1)[0]["grad_norm"]
    assert clipped.update_minibatches(batch(32), 1)[0]["grad_norm"] == pytest.approx(norm)
    assert norm > 0.01
    gradients = [p.grad for p in clipped.dqn_module.online.parameters()]
    assert torch.cat([g.flatten() for g in gradients if g is not None]).norm() <= 1.001e-3
    assert np.abs(weights(clipped) - before).sum() < 0.2 * np.abs(weights(plain) - before).sum()
    assert "grad_norm" not in learner().update_minibatches(batch(32), 1)[0]


def test_a_polyak_target_moves_a_share_of_the_way_at_every_update():
    one = learner(target_update_period=1, target_update_rate=0.25)
    start = [p.clone() for p in one.dqn_module.target.parameters()]
    one.update_minibatches(batch(32), 1)
    online = one.dqn_module.online.parameters()
    for was, is_now, goal in zip(start, one.dqn_module.target.parameters(), online, strict=True):
        torch.testing.assert_close(is_now, was + 0.25 * (goal.detach() - was))


def test_the_learning_rate_asked_for_is_the_optimizers():
    one, still = learner(), learner()
    before = weights(one)
    one.update_minibatches(batch(32), 1, lr=0.0)
    np.testing.assert_array_equal(weights(one), before)
    result, _ = one.update_minibatches(batch(32), 1, lr=1e-3)
    assert result["lr"] == 1e-3
    assert (weights(one) != before).any()
    assert still.update_minibatches(batch(32), 1)[0]["lr"] == still.config.options.lr


def test_a_loss_that_is_no_number_ends_the_training():
    one, b = learner(), batch(32)
    b.r_t[3] = np.nan
    with pytest.raises(FloatingPointError, match="loss is nan after 1 updates: lower lr"):
        one.update_minibatches(b, 1)


@pytest.mark.slow
def test_compiled_a_distribution_of_returns_is_learnt_the_same():
    eager, compiled = (
        learner(num_atoms=51, v_min=-10.0, v_max=10.0, compile=on) for on in (False, True)
    )
    losses = [one.update_minibatches(batch(32), 1)[0]["loss"] for one in (eager, compiled)]
    assert losses[1] == pytest.approx(losses[0])
    np.testing.assert_allclose(weights(compiled), weights(eager), atol=1e-6)
    for network in (compiled.dqn_module.online, compiled.dqn_module.target):
        assert hasattr(network.outputs, "_torchdynamo_orig_callable")
