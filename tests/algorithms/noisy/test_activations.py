"""Noisy activations as modules: what they draw, what they learn, where they run."""

import copy
import io
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from algorithms.noisy import (
    VARIANTS,
    HardSigmoid,
    HardTanh,
    NoisyActivation,
    NoisyHardSigmoid,
    NoisyHardTanh,
    noisy_parts,
    set_generator,
)
from algorithms.noisy.functions import HALF_NORMAL_MEAN, hard_sigmoid, hard_tanh
from arcadia.errors import UserError

FORMS = ("output", "basic", "input", "learned_input", "saturated_input")
KINDS = pytest.mark.parametrize("kind", [NoisyHardTanh, NoisyHardSigmoid])


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def wide(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=seeded(9)) * 3


def test_defaults_are_the_authors():
    tanh, sigmoid = NoisyHardTanh(), NoisyHardSigmoid()
    assert (tanh.alpha, tanh.c.item(), tanh.half_normal) == (1.15, 0.5, False)
    assert (sigmoid.alpha, sigmoid.half_normal) == (1.1, True)
    assert sigmoid.c.item() == pytest.approx(0.15)
    assert tanh.p is not None and -1 <= tanh.p.item() <= 1


@KINDS
@pytest.mark.parametrize("half_normal", [False, True])
def test_evaluation_is_the_mean_over_the_noise(kind: Any, half_normal: bool):
    module = kind(half_normal=half_normal, c=2.0, generator=seeded())
    nn.init.constant_(module.p, 0.8)
    x = torch.tensor([-5.0, -3, -0.5, 0.5, 3, 5])
    drawn = module(x.expand(200_000, -1)).mean(dim=0)
    module.eval()
    torch.testing.assert_close(module(x), drawn, atol=4e-3, rtol=0)
    torch.testing.assert_close(module(x), module(x))


@KINDS
def test_with_normal_noise_evaluation_is_alpha_h_and_the_rest_u(kind: Any):
    module, x = kind(1.3, half_normal=False).eval(), wide(50)
    u = x if kind is NoisyHardTanh else 0.25 * x + 0.5
    torch.testing.assert_close(module(x), 1.3 * module.hard(x) - 0.3 * u)


@KINDS
@pytest.mark.parametrize("form", ["input", "learned_input", "saturated_input"])
def test_with_noise_on_the_input_evaluation_is_the_hard_function(kind: Any, form: Any):
    module, x = kind(form=form, c=3.0), wide(50)
    assert not torch.equal(module(x), module.hard(x))
    torch.testing.assert_close(module.eval()(x), module.hard(x))


def test_half_normal_noise_on_the_input_pushes_towards_zero():
    module, x = NoisyHardTanh(form="input", half_normal=True, c=3.0), wide(2000)
    moved = module(x) - hard_tanh(x)
    assert (moved * x.sign() <= 0).all()
    assert (moved != 0).float().mean() > 0.5


@pytest.mark.parametrize("alpha", [0.8, 1.2])
def test_half_normal_noise_has_one_direction(alpha: float):
    """Above 1 noise is towards the outside of what alpha alone gives, below 1 towards zero."""
    module, x = NoisyHardTanh(alpha, 4.0, half_normal=True), wide(2000)
    nn.init.constant_(module.p, 1.0)
    without = alpha * hard_tanh(x) + (1 - alpha) * x
    pushed = (module(x) - without) * x.sign()
    assert (pushed >= -1e-6).all() if alpha > 1 else (pushed <= 1e-6).all()


@KINDS
def test_a_generator_makes_it_repeatable(kind: Any):
    x = wide(4, 7)
    one, other = (kind(generator=seeded(3)) for _ in range(2))
    assert torch.equal(one(x), other(x))
    assert not torch.equal(one(x), one(x))
    torch.manual_seed(5)
    before = torch.rand(1)
    torch.manual_seed(5)
    one(x)
    assert torch.equal(torch.rand(1), before)  # torch's own was left alone


def test_one_generator_for_a_whole_network():
    network = nn.Sequential(nn.Linear(3, 3), NoisyHardTanh(), nn.Linear(3, 3), NoisyHardSigmoid())
    set_generator(network, seeded(1))
    first = network(wide(2, 3))
    set_generator(network, seeded(1))
    assert torch.equal(network(wide(2, 3)), first)
    assert len(list(noisy_parts(network))) == 2


@pytest.mark.parametrize("form", FORMS)
def test_gradients_reach_x_and_p(form: Any):
    module, x = NoisyHardTanh(form=form, num_units=6, c=1.0), wide(32, 6).requires_grad_()
    module(x).square().sum().backward()
    assert x.grad is not None and x.grad.abs().sum() > 0
    if form in ("output", "basic", "learned_input"):
        assert module.p is not None and module.p.grad is not None
        assert module.p.shape == (6,) and (module.p.grad != 0).all()
    else:
        assert module.p is None and not list(module.parameters())


def test_a_p_for_each_channel():
    module = NoisyHardTanh(num_units=3, dim=1, c=4.0, generator=seeded())
    assert module.p is not None
    module.p.data = torch.tensor([0.0, 1.0, 0.0])
    x = torch.full((2, 3, 4, 4), 3.0)
    found = module(x)
    without = 1.15 - 0.15 * 3
    assert torch.allclose(found[:, [0, 2]], torch.tensor(without))
    assert not torch.allclose(found[:, 1], torch.tensor(without))


def test_a_learned_scale_begins_with_c():
    x, noise = wide(500), seeded(4)
    learned = NoisyHardTanh(form="learned_input", c=0.7, generator=noise)(x)
    torch.testing.assert_close(learned, NoisyHardTanh(form="input", c=0.7, generator=seeded(4))(x))


@pytest.mark.parametrize("name", list(VARIANTS))
def test_the_papers_variants(name: Any):
    module = NoisyHardTanh(**VARIANTS[name])
    assert torch.isfinite(module(wide(20))).all()


def test_c_is_changed_saved_and_restored():
    module = NoisyHardTanh()
    module.set_c(30.0)
    data = io.BytesIO()
    torch.save(module.state_dict(), data)
    data.seek(0)
    other = NoisyHardTanh()
    other.load_state_dict(torch.load(data))
    assert other.c.item() == 30 and torch.equal(other.p, module.p)
    assert "c=30" in repr(other)


def test_it_can_be_copied():
    module = NoisyHardTanh(num_units=4)
    other = copy.deepcopy(module)
    assert torch.equal(other.p, module.p) and other.p is not module.p


@KINDS
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_keeps_its_type(kind: Any, dtype: torch.dtype):
    module, x = kind(generator=seeded()), wide(100).to(dtype).requires_grad_()
    found = module(x)
    assert found.dtype == dtype
    found.float().sum().backward()
    assert x.grad is not None and x.grad.dtype == dtype and torch.isfinite(x.grad).all()
    whole = kind(generator=seeded())
    whole.load_state_dict(module.state_dict())
    torch.testing.assert_close(found.float(), whole(x.detach().float()), atol=0.02, rtol=0.02)


def test_under_autocast():
    network = nn.Sequential(nn.Linear(8, 8), NoisyHardTanh(), nn.Linear(8, 1))
    with torch.autocast("cpu", torch.bfloat16):
        found = network(wide(4, 8))
    assert found.dtype == torch.bfloat16
    found.float().sum().backward()
    assert all(p.grad is not None for p in network.parameters())


@pytest.mark.parametrize("form", FORMS)
def test_compiled_it_is_one_graph_with_the_same_values(form: Any):
    module = NoisyHardTanh(form=form, num_units=5)
    compiled = torch.compile(module, backend="aot_eager", fullgraph=True)
    x = wide(16, 5).requires_grad_()
    torch.manual_seed(0)
    wanted = module(x)
    for c in (0.5, 0.5):
        module.set_c(c)
        torch.manual_seed(0)
        torch.testing.assert_close(compiled(x), wanted)
    module.set_c(7.0)  # a buffer: nothing is compiled anew
    with torch.compiler.set_stance("fail_on_recompile"):
        torch.manual_seed(0)
        found = compiled(x)
    torch.manual_seed(0)
    torch.testing.assert_close(found, module(x))
    found.sum().backward()
    assert x.grad is not None
    assert module.p is None or module.p.grad is not None


def test_ddp_trains_it(tmp_path: Any):
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/group", rank=0, world_size=1)
    try:
        network = DistributedDataParallel(nn.Sequential(nn.Linear(4, 4), NoisyHardTanh(c=2.0)))
        for _ in range(2):
            network(wide(8, 4)).square().sum().backward()
        assert all(p.grad is not None for p in network.parameters())
    finally:
        dist.destroy_process_group()


def test_plain_hard_functions_as_modules():
    x = wide(30)
    assert torch.equal(HardTanh()(x), hard_tanh(x))
    assert torch.equal(HardSigmoid()(x), hard_sigmoid(x))


def test_evaluation_of_half_normal_noise_takes_its_mean():
    module = NoisyHardTanh(1.2, 1.0, half_normal=True).eval()
    nn.init.constant_(module.p, 1.0)
    # v = -2: sigma = (sigmoid(-2) - 1/2)^2 = 0.1450065
    wanted = 1.2 - 0.2 * 3 + 0.1450065 * HALF_NORMAL_MEAN
    assert module(torch.tensor(3.0)).item() == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (dict(c=-0.1), "c -0.1: must be at least 0"),
        (dict(alpha=0), "alpha 0: must be above 0"),
        (dict(alpha=-1.0), "alpha -1.0: must be above 0"),
        (dict(c=float("nan")), "c nan: must be"),
        (dict(form="imput"), 'form "imput": must be output, .*; did you mean "input"'),
    ],
)
def test_what_means_nothing_is_refused(arguments: dict[str, Any], said: str):
    with pytest.raises(UserError, match=said):
        NoisyHardTanh(**arguments)


def test_a_negative_c_is_refused_later_too():
    module: NoisyActivation = NoisyHardTanh()
    with pytest.raises(UserError, match="c -1: must be at least 0"):
        module.set_c(-1)
