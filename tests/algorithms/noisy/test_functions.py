"""The formulas, by numbers worked out by hand and by numerical gradients."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from algorithms.noisy.functions import (
    HALF_NORMAL_MEAN,
    HARD_SIGMOID,
    HARD_TANH,
    Hard,
    basic,
    hard_sigmoid,
    hard_tanh,
    noisy,
    noisy_input,
    noisy_saturated_input,
    sigma,
)

HARDS = pytest.mark.parametrize("hard", [HARD_TANH, HARD_SIGMOID], ids=["tanh", "sigmoid"])
ALPHAS = pytest.mark.parametrize("alpha", [0.7, 1.0, 1.15])


def f64(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def sgn(x: float) -> float:
    return (x > 0) - (x < 0)


def by_formula(x: float, p: float, noise: float, c: float, alpha: float, hard: Hard) -> float:
    """The paper's formula, word for word."""
    u = hard.slope * x + hard.offset
    h = min(max(u, hard.low), hard.high)
    d = -sgn(x) * sgn(1 - alpha)
    deviation = c * (1 / (1 + math.exp(-p * (h - u))) - 0.5) ** 2
    return alpha * h + (1 - alpha) * u + d * deviation * noise


def test_hard_functions():
    x = f64(-3, -2, -1, -0.5, 0, 0.5, 1, 2, 3)
    assert hard_tanh(x).tolist() == [-1, -1, -1, -0.5, 0, 0.5, 1, 1, 1]
    assert hard_sigmoid(x).tolist() == [0, 0, 0.25, 0.375, 0.5, 0.625, 0.75, 1, 1]
    assert HARD_TANH.threshold == 1 and HARD_SIGMOID.threshold == 2


def test_a_saturated_unit_by_hand():
    # x = 3: h = 1, u = 3, v = -2; sigmoid(-2) = 0.1192029, (0.1192029 - 1/2)^2 = 0.1450065.
    found = noisy(f64(3), f64(1), f64(0.5), f64(0.5), alpha=1.15, hard=HARD_TANH)
    # 1.15 * 1 - 0.15 * 3 + (-1)(-1) 0.5 * 0.1450065 * 0.5
    assert found.item() == pytest.approx(0.7 + 0.03625162, abs=1e-7)
    found = noisy(f64(3), f64(1), f64(0.5), f64(0.5), alpha=0.85, hard=HARD_TANH)
    assert found.item() == pytest.approx(0.85 + 0.15 * 3 - 0.03625162, abs=1e-7)


@HARDS
@ALPHAS
@given(x=st.floats(-8, 8), p=st.floats(-3, 3), noise=st.floats(-4, 4), c=st.floats(0, 30))
def test_everywhere_it_is_the_formula(
    hard: Hard, alpha: float, x: float, p: float, noise: float, c: float
):
    found = noisy(f64(x), f64(p), f64(noise), f64(c), alpha=alpha, hard=hard)
    assert found.item() == pytest.approx(by_formula(x, p, noise, c, alpha, hard), abs=1e-9)


@HARDS
@ALPHAS
def test_nothing_happens_where_it_does_not_saturate(hard: Hard, alpha: float):
    x = torch.linspace(-hard.threshold, hard.threshold, 101, dtype=torch.float64)
    found = noisy(x, f64(0.8), torch.randn_like(x) * 9, f64(30), alpha=alpha, hard=hard)
    torch.testing.assert_close(found, hard(x))


@HARDS
def test_at_alpha_1_there_is_no_noise(hard: Hard):
    x = torch.linspace(-9, 9, 50, dtype=torch.float64)
    found = noisy(x, f64(0.8), torch.randn_like(x), f64(30), alpha=1.0, hard=hard)
    torch.testing.assert_close(found, hard(x))


@HARDS
@ALPHAS
def test_gradients_are_those_of_the_formula(hard: Hard, alpha: float):
    torch.manual_seed(0)
    x = (torch.randn(3, 5, dtype=torch.float64) * 4).requires_grad_()
    noise, c = torch.randn(3, 5, dtype=torch.float64), f64(0.5).squeeze()
    for p in (f64(0.7).squeeze(), f64(-1, -0.4, 0.1, 0.5, 0.9)):
        p.requires_grad_()
        assert torch.autograd.gradcheck(
            lambda x, p: noisy(x, p, noise, c, alpha=alpha, hard=hard), (x, p)
        )
        assert torch.autograd.gradcheck(
            lambda x, p: basic(x, p, noise, c, mean=0.1, hard=hard), (x, p)
        )


def test_a_saturated_unit_has_a_gradient():
    x = f64(-4, -1.5, 1.5, 4).requires_grad_()
    noise = f64(0.3, -0.8, 1.2, 0.1)
    noisy(x, f64(1), noise, f64(0.5), alpha=1.15, hard=HARD_TANH).sum().backward()
    # (1 - alpha) u' + d sigma' noise, with u' = 1 and sigma' = 2 c (s - 1/2) s (1 - s) (-p).
    wanted = []
    for at, z in zip(x.tolist(), noise.tolist(), strict=True):
        s = 1 / (1 + math.exp(-(sgn(at) - at)))
        wanted.append(-0.15 + sgn(at) * 2 * 0.5 * (s - 0.5) * s * (1 - s) * -1 * z)
    assert x.grad is not None
    assert x.grad.tolist() == pytest.approx(wanted)


def test_sigma_is_even_in_p_and_bounded():
    v = torch.linspace(-40, 40, 81, dtype=torch.float64)
    torch.testing.assert_close(sigma(v, f64(0.6), f64(2)), sigma(v, f64(-0.6), f64(2)))
    assert sigma(v, f64(5), f64(2)).max() <= 0.5
    assert sigma(f64(0), f64(5), f64(2)).item() == 0


def test_noise_on_the_input_by_hand():
    x, noise, scale = f64(-3, 0.2, 0.9, 1.5), f64(1, 1, 1, -2), f64(0.5)
    found = noisy_input(x, noise, scale, hard=HARD_TANH)
    assert found.tolist() == pytest.approx([-1, 0.7, 1, 0.5])
    found = noisy_saturated_input(x, noise, scale, hard=HARD_TANH)
    assert found.tolist() == pytest.approx([-1, 0.2, 0.9, 0.5])
    found = noisy_saturated_input(f64(1.5, 2.5), f64(1, -1), f64(4), hard=HARD_SIGMOID)
    assert found.tolist() == pytest.approx([0.875, 0.125])


def test_basic_by_hand():
    found = basic(f64(0.5, 3), f64(1), f64(0.5), f64(0.5), mean=0.1, hard=HARD_TANH)
    assert found.tolist() == pytest.approx([0.6, 1.1 + 0.03625162])


def test_the_mean_of_half_normal_noise():
    noise = torch.randn(200_000, generator=torch.Generator().manual_seed(0)).abs()
    assert noise.mean().item() == pytest.approx(HALF_NORMAL_MEAN, abs=0.005)
