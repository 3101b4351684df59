"""Losses against values worked out by hand."""

import pytest
import torch

from algorithms.dqn.losses import huber, q_learning_td, squared

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
