import pytest
import torch
from torch import Tensor

from pipelines.stylization.losses import gram
from pipelines.stylization.networks import VGG
from pipelines.stylization.objective import LossWeights, Objective, Past, Targets
from pipelines.stylization.tiles import tiles_of

CONTENT = ("relu3_2",)
STYLE = ("relu1_1", "relu2_1", "relu3_1")
DEEP = (("relu4_2",), ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"))
WEIGHTS = LossWeights(content=1, style=20, temporal=200, total_variation=0.1)


@pytest.fixture(scope="module")
def network() -> VGG:
    """The first layers of VGG-16 with weights that keep features alive."""
    return _random_network([*CONTENT, *STYLE])


def _random_network(layers: list[str]) -> VGG:
    torch.manual_seed(0)
    vgg = VGG("vgg16", layers)
    for parameter in vgg.parameters():
        if parameter.ndim == 4:
            torch.nn.init.kaiming_normal_(parameter)
    return vgg


def _objective(network: VGG, weights: LossWeights = WEIGHTS, tile: int | None = None) -> Objective:
    return Objective(network, weights, content_layers=CONTENT, style_layers=STYLE, tile=tile)


def _pictures(*size: int, count: int = 4) -> list[Tensor]:
    generator = torch.Generator().manual_seed(3)
    return [torch.rand(1, 3, *size, generator=generator) * 255 for _ in range(count)]


def _targets(objective: Objective, size: tuple[int, int], *, with_map: bool) -> Targets:
    _, content, style, past = _pictures(*size)
    mask = torch.zeros(1, *size)
    mask[:, :, : size[1] // 2] = 1
    columns = torch.linspace(0, 1, size[1]).expand(size)
    return Targets(
        content=objective.content_targets(content),
        grams=objective.style_grams(style),
        past=[Past(warped=past, weight=mask)],
        style_weights=objective.style_weights(columns) if with_map else {},
    )


def _gradient(objective: Objective, image: Tensor, targets: Targets) -> tuple[dict, Tensor]:
    leaf = image.clone().requires_grad_(True)
    losses = objective.backward(leaf, targets)
    assert leaf.grad is not None
    return losses, leaf.grad


def test_the_loss_is_the_weighted_sum_of_its_parts(network):
    objective = _objective(network)
    image = _pictures(48, 64)[0]
    targets = _targets(objective, (48, 64), with_map=False)
    losses, _ = _gradient(objective, image, targets)
    total = sum(getattr(WEIGHTS, name) * losses[name] for name in losses if name != "total")
    torch.testing.assert_close(losses["total"], total)
    with torch.no_grad():
        features = network(image)
    style = sum((gram(features[n]) - targets.grams[n]).square().mean() for n in STYLE)
    content = (features["relu3_2"] - targets.content["relu3_2"]).square().mean()
    torch.testing.assert_close(losses["style"], style)
    torch.testing.assert_close(losses["content"], content)


def test_the_gradient_is_that_of_the_loss(network):
    objective = _objective(network.double())
    image = _pictures(32, 32)[0].double()
    targets = _targets(_objective(network.float()), (32, 32), with_map=False)
    network.double()
    _, gradient = _gradient(objective, image, targets)
    direction = torch.randn(image.shape, generator=torch.Generator().manual_seed(5)).double()
    step = 1e-3
    ends = [
        _gradient(objective, image + s * step * direction, targets)[0]["total"] for s in (-1, 1)
    ]
    slope = (ends[1] - ends[0]) / (2 * step)
    network.float()
    torch.testing.assert_close(
        slope.float(), (gradient * direction).sum().float(), rtol=1e-2, atol=0
    )


@pytest.mark.parametrize("tile", [None, 64])
def test_a_gradient_is_laid_out_as_the_picture(tile):
    """As torch's L-BFGS wants it, where the network has channels last, too, as on a GPU."""
    network = _random_network(["relu3_2", *STYLE]).to(memory_format=torch.channels_last)
    network.register_forward_pre_hook(
        lambda _, given: (given[0].contiguous(memory_format=torch.channels_last),)
    )
    objective = _objective(network, tile=tile)
    targets = _targets(objective, (96, 96), with_map=False)
    assert _gradient(objective, _pictures(96, 96)[0], targets)[1].is_contiguous()


@pytest.mark.parametrize("size", [(144, 112), (66, 151), (97, 64)])
@pytest.mark.parametrize("with_map", [False, True])
def test_tiles_give_the_loss_and_the_gradient_of_the_whole(network, size, with_map):
    _check_tiles(_objective(network), _objective(network, tile=64), size, with_map=with_map)


@pytest.mark.slow
def test_tiles_are_exact_down_to_the_deepest_layer_of_the_paper():
    content, style = DEEP
    network = _random_network([*content, *style])
    whole, tiled = (
        Objective(network, WEIGHTS, content_layers=content, style_layers=style, tile=tile)
        for tile in (None, 96)
    )
    _check_tiles(whole, tiled, (130, 341), with_map=True)


def _check_tiles(
    whole: Objective, tiled: Objective, size: tuple[int, int], *, with_map: bool
) -> None:
    image = _pictures(*size)[0]
    targets = _targets(whole, size, with_map=with_map)
    by_tiles = _targets(tiled, size, with_map=with_map)
    for layer, features in targets.content.items():
        torch.testing.assert_close(by_tiles.content[layer], features, rtol=1e-4, atol=1e-2)
    for layer, matrix in targets.grams.items():
        scale = matrix.abs().max()
        torch.testing.assert_close(by_tiles.grams[layer] / scale, matrix / scale, rtol=0, atol=1e-5)
    losses, gradient = _gradient(whole, image, targets)
    own_losses, own = _gradient(tiled, image, targets)
    for name, loss in losses.items():
        torch.testing.assert_close(own_losses[name], loss, rtol=1e-4, atol=0)
    assert (own - gradient).norm() < 1e-4 * gradient.norm()
    assert (own - gradient).abs().max() < 1e-3 * gradient.abs().max()


def test_the_style_pulls_nothing_where_its_map_is_black(network):
    objective = _objective(network, LossWeights(content=0, temporal=0))
    image = _pictures(64, 512)[0]
    targets = _targets(objective, (64, 512), with_map=False)
    where = torch.zeros(64, 512)
    where[:, :128] = 1
    weighted = Targets(
        content=targets.content,
        grams=targets.grams,
        style_weights=objective.style_weights(where),
    )
    _, gradient = _gradient(objective, image, weighted)
    assert gradient[..., :128].abs().max() > 0
    # Beyond what the deepest layer's positions see.
    assert not gradient[..., 128 + 32 :].any()


@pytest.mark.parametrize("size", [(208, 336), (64, 64), (130, 341), (1080, 1920)])
def test_tiles_cover_a_picture_once(size):
    height, width = size
    count = torch.zeros(size)
    for row in tiles_of(height, width, 64, step=16, halo=80):
        for tile in row:
            (top, bottom), (left, right) = tile.core_rows, tile.core_columns
            count[top:bottom, left:right] += 1
            assert bottom - top <= 64
            assert right - left <= 64
            assert tile.rows[0] % 16 == tile.columns[0] % 16 == 0
            assert tile.rows[0] == 0 or top - tile.rows[0] >= 80
            assert tile.rows[1] == height or tile.rows[1] - bottom >= 80
    assert (count == 1).all()


def test_saved_bytes_grow_with_the_picture(network):
    objective = _objective(network)
    small, large = (objective.saved_bytes(torch.zeros(1, 3, s, s)) for s in (32, 64))
    assert 3.5 < large / small < 4.5


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("tile", [None, 32])
def test_the_gradient_in_half_precision_points_the_same_way(network, precision, tile):
    full = _objective(network)
    half = Objective(
        network,
        WEIGHTS,
        content_layers=CONTENT,
        style_layers=STYLE,
        precision=precision,
        tile=tile,
    )
    image = _pictures(32, 48)[0]
    targets = _targets(full, (32, 48), with_map=False)
    losses, gradient = _gradient(full, image, targets)
    own_losses, own = _gradient(half, image, targets)
    assert own.dtype == torch.float32
    assert torch.isfinite(own).all()
    torch.testing.assert_close(own_losses["total"], losses["total"], rtol=0.05, atol=0)
    cosine = (own * gradient).sum() / (own.norm() * gradient.norm())
    assert cosine > 0.99
    assert 0.95 < own.norm() / gradient.norm() < 1.05
