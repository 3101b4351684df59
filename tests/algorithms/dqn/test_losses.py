"""Losses against values worked out by hand."""

import math

import pytest
import torch

from algorithms.dqn.losses import (
    categorical_q_learning,
    huber,
    project,
    q_learning_td,
    squared,
)

Q_TM1 = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
A_TM1 = torch.tensor([0, 1, 0])
R_T = torch.tensor([1.0, -1.0, 0.5])
DISCOUNT_T = torch.tensor([0.9, 0.0, 0.5])
Q_T = torch.tensor([[10.0, 20.0], [30.0, 40.0], [60.0, 50.0]])


def test_q_learning_takes_the_greatest_next_value():
    td = q_learning_td(Q_TM1, A_TM1, R_T, DISCOUNT_T, Q_T, Q_T)
    # 1 + 0.9*20 - 1;  -1 + 0 - 4;  0.5 + 0.5*60 - 5
    torch.testing.assert_close(td, torch.tensor([18.0, -5.0, 25.5]))


def test_double_q_learning_values_the_selected_action():
    selector = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    td = q_learning_td(Q_TM1, A_TM1, R_T, DISCOUNT_T, Q_T, selector)
    # 1 + 0.9*10 - 1;  -1 - 4;  0.5 + 0.5*50 - 5
    torch.testing.assert_close(td, torch.tensor([9.0, -5.0, 20.5]))


def test_a_terminal_state_is_worth_its_reward_alone():
    td = q_learning_td(Q_TM1, A_TM1, R_T, torch.zeros(3), Q_T * 1e9, Q_T)
    torch.testing.assert_close(td, R_T - torch.tensor([1.0, 4.0, 5.0]))


def test_no_gradient_flows_through_the_target():
    q_tm1, q_t = Q_TM1.clone().requires_grad_(), Q_T.clone().requires_grad_()
    squared(q_learning_td(q_tm1, A_TM1, R_T, DISCOUNT_T, q_t, q_t)).sum().backward()
    assert q_t.grad is None
    # Equation 3: minus the error at the action taken, nothing elsewhere.
    torch.testing.assert_close(q_tm1.grad, torch.tensor([[-18.0, 0.0], [0.0, 5.0], [-25.5, 0.0]]))


def test_a_batch_of_one_keeps_its_axis():
    td = q_learning_td(Q_TM1[:1], A_TM1[:1], R_T[:1], DISCOUNT_T[:1], Q_T[:1], Q_T[:1])
    assert td.shape == (1,)


@pytest.mark.parametrize(
    ("name", "value"),
    [("a_tm1", A_TM1[:, None]), ("r_t", R_T[:2]), ("q_t_value", Q_T[0]), ("discount_t", R_T[None])],
)
def test_shapes_that_do_not_fit_are_refused_by_name(name: str, value: torch.Tensor):
    arguments = {
        "q_tm1": Q_TM1,
        "a_tm1": A_TM1,
        "r_t": R_T,
        "discount_t": DISCOUNT_T,
        "q_t_value": Q_T,
        "q_t_selector": Q_T,
    }
    with pytest.raises(ValueError, match=f"{name} has shape"):
        q_learning_td(**(arguments | {name: value}))


def test_huber_is_squared_within_one_and_linear_beyond():
    td = torch.tensor([0.5, -0.5, 1.0, 3.0, -3.0])
    torch.testing.assert_close(huber(td), torch.tensor([0.125, 0.125, 0.5, 2.5, 2.5]))
    torch.testing.assert_close(squared(td), 0.5 * td**2)


SUPPORT = torch.tensor([0.0, 1.0, 2.0, 3.0])


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1.0, [0, 1, 0, 0]),  # on an atom: all of it stays there
        (3.0, [0, 0, 0, 1]),
        (0.0, [1, 0, 0, 0]),
        (1.25, [0, 0.75, 0.25, 0]),  # nearer to 1 than to 2
        (2.5, [0, 0, 0.5, 0.5]),
        (7.0, [0, 0, 0, 1]),  # beyond an end: the end
        (-7.0, [1, 0, 0, 0]),
    ],
)
def test_a_return_is_shared_by_its_neighbours(value: float, expected: list[float]):
    projected = project(torch.tensor([[value]]), torch.ones(1, 1), SUPPORT)
    torch.testing.assert_close(projected, torch.tensor([expected], dtype=torch.float32))


def test_projection_is_the_papers_loop_and_keeps_mass_and_mean():
    generator = torch.Generator().manual_seed(0)
    p = torch.rand(16, 51, generator=generator).softmax(dim=1)
    support = torch.linspace(-10, 10, 51)
    r_t = torch.randint(-2, 3, (16,), generator=generator).float()
    discount_t = torch.where(torch.rand(16, generator=generator) < 0.3, 0.0, 0.97)
    returns = r_t[:, None] + discount_t[:, None] * support
    mine = project(returns, p, support)
    expected = torch.zeros(16, 51, dtype=torch.float64)
    for i in range(16):  # Bellemare et al. 2017, algorithm 1
        for j in range(51):
            b = (float(returns[i, j].clamp(-10, 10)) + 10) / 0.4
            low, high = math.floor(b), math.ceil(b)
            share = 1.0 if low == high else high - b
            expected[i, low] += float(p[i, j]) * share
            expected[i, min(high, 50)] += float(p[i, j]) * (1 - share)
    torch.testing.assert_close(mine.double(), expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(mine.sum(dim=1), torch.ones(16))
    inside = (returns.abs() <= 10).all(dim=1)  # where nothing was cut off, the mean stays
    means = (returns * p).sum(dim=1)
    torch.testing.assert_close((mine @ support)[inside], means[inside], atol=1e-4, rtol=1e-4)


def c51(logits_tm1: torch.Tensor, **changed: torch.Tensor):
    arguments = dict(
        a_tm1=torch.tensor([1]),
        r_t=torch.tensor([1.0]),
        discount_t=torch.tensor([0.5]),
        logits_t_value=torch.log(
            torch.tensor([[[1e-9, 1e-9, 1.0, 1e-9], [1.0, 1e-9, 1e-9, 1e-9]]])
        ),
        q_t_selector=torch.tensor([[5.0, 1.0]]),
        support=SUPPORT,
    )
    return categorical_q_learning(logits_tm1, **(arguments | changed))


def test_c51_by_hand():
    # The selector takes action 0, which is surely worth 2: 1 + 0.5 * 2 = 2, the third atom.
    p = torch.tensor([[[0.25, 0.25, 0.25, 0.25], [0.1, 0.2, 0.3, 0.4]]])
    loss, divergence = c51(p.log())
    assert float(loss) == pytest.approx(-math.log(0.3), rel=1e-5)
    assert float(divergence) == pytest.approx(-math.log(0.3), rel=1e-5)  # a sure target: entropy 0
    # The other action is surely worth 0: 1 + 0 = 1, the second atom.
    loss, _ = c51(p.log(), q_t_selector=torch.tensor([[0.0, 1.0]]))
    assert float(loss) == pytest.approx(-math.log(0.2), rel=1e-5)
    # A terminal state: the reward alone, here between the first two atoms.
    ends = {"discount_t": torch.tensor([0.0]), "r_t": torch.tensor([0.5])}
    loss, divergence = c51(p.log(), **ends)
    assert float(loss) == pytest.approx(-0.5 * math.log(0.1) - 0.5 * math.log(0.2), rel=1e-5)
    assert float(divergence) == pytest.approx(float(loss) - math.log(2), rel=1e-5)


def test_c51s_gradient_is_prediction_minus_target_at_the_action_taken():
    logits = torch.randn(1, 2, 4, generator=torch.Generator().manual_seed(1)).requires_grad_()
    after = torch.randn(1, 2, 4).requires_grad_()
    loss, divergence = c51(logits, logits_t_value=after)
    loss.sum().backward()
    assert after.grad is None
    assert not divergence.requires_grad
    p_t = after.detach()[:, 0].softmax(dim=1)
    target = project(1.0 + 0.5 * SUPPORT[None], p_t, SUPPORT)
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad[:, 1], logits.detach()[:, 1].softmax(dim=1) - target)
    assert not logits.grad[:, 0].any()


def test_divergence_is_zero_where_the_prediction_is_the_target():
    target = project(1.0 + 0.5 * SUPPORT[None], torch.tensor([[0.1, 0.2, 0.3, 0.4]]), SUPPORT)
    same = torch.log(target + 1e-12)[:, None].expand(1, 2, 4)
    after = torch.tensor([[[0.1, 0.2, 0.3, 0.4]] * 2]).log()
    _, divergence = c51(same, logits_t_value=after)
    assert float(divergence) == pytest.approx(0, abs=1e-5)
