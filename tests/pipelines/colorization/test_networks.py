"""The colorizer: the paper's layers, where gradients go, any size, and its file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from arcadia.errors import UserError
from pipelines.colorization import Colorizer, NetworkOptions, load_colorizer, save_colorizer
from pipelines.colorization.config import ColorSpace
from pipelines.colorization.files import describe_colorizer
from pipelines.colorization.losses import class_loss, color_loss, total
from pipelines.colorization.spaces import join, split

SPACES = get_args(ColorSpace)
# The paper's table 1: part, channels, and the side of what leaves the layer, of a picture of 224.
LAYERS = [
    *[("low_level", 64, 112), ("low_level", 128, 112), ("low_level", 128, 56)],
    *[("low_level", 256, 56), ("low_level", 256, 28), ("low_level", 512, 28)],
    *[("global_level", 512, 14), ("global_level", 512, 14)],
    *[("global_level", 512, 7), ("global_level", 512, 7)],
    *[("global_level", 1024, None), ("global_level", 512, None), ("global_output", 256, None)],
    *[("mid_level", 512, 28), ("mid_level", 256, 28), ("fusion", 256, 28)],
    *[("colorization", 128, 28), ("colorization", 64, 56), ("colorization", 64, 56)],
    *[("colorization", 32, 112), ("colorization", 2, 112)],
    *[("classifier", 256, None), ("classifier", 205, None)],
]


def tiny(num_classes: int = 5, **overrides: Any) -> Colorizer:
    torch.manual_seed(0)
    options: dict[str, Any] = dict(width=0.125, image_size=32) | overrides
    return Colorizer(num_classes, **options)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def linears(network: nn.Module) -> list[tuple[str, nn.Conv2d | nn.Linear]]:
    return [(n, m) for n, m in network.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)]


def counted(network: nn.Module) -> int:
    """Parameters besides batch normalisation's."""
    return sum(p.numel() for _, layer in linears(network) for p in layer.parameters())


def train(network: Colorizer, steps: int) -> list[float]:
    """Losses on four flat pictures with a bright square, each of its own class and colour."""
    rgb = noise(4, 3, 1, 1, seed=1).expand(-1, -1, 32, 32).clone()
    for index in range(4):
        rgb[index, :, 8 * index : 8 * index + 8, :8] *= 0.2
    lightness, color = split(rgb, network.options.colorspace)
    optimiser = torch.optim.Adadelta(network.parameters(), lr=1.0, rho=0.95, eps=1e-6)
    losses: list[float] = []
    network.train()
    for _ in range(steps):
        optimiser.zero_grad()
        predicted, logits = network(lightness)
        classes = None if logits is None else class_loss(logits, torch.arange(4))
        loss = total(color_loss(predicted, color), classes).mean()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return losses


def trained(**overrides: Any) -> Colorizer:
    """A tiny one whose normalisation knows its layers: at first it takes all variances for 1."""
    network = tiny(**overrides)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            layer.momentum = 1.0  # the last batch alone
    train(network, 10)
    return network.eval()


@pytest.fixture(scope="module")
def full_size() -> Colorizer:
    torch.manual_seed(0)
    return Colorizer(num_classes=205).eval()


def test_it_has_the_papers_parameters_and_layers(full_size: Colorizer):
    assert counted(full_size) == 42_353_839
    normalised = [m for m in full_size.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
    assert len(normalised) == len(linears(full_size)) - 2  # the colours and the classes
    assert sum(p.numel() for p in full_size.parameters()) == 42_353_839 + sum(
        2 * layer.num_features for layer in normalised
    )
    seen: list[tuple[str, int, int | None]] = []

    def watched(name: str, layer: nn.Module) -> Any:
        def note(_: nn.Module, __: Any, output: Tensor) -> None:
            side = output.shape[2] if output.ndim == 4 else None
            seen.append((name.split(".")[0], output.shape[1], side))

        return layer.register_forward_hook(note)

    hooks = [watched(name, layer) for name, layer in linears(full_size)]
    with torch.no_grad():
        color, logits = full_size(noise(1, 1, 224, 224))
    for hook in hooks:
        hook.remove()
    assert sorted(seen, key=str) == sorted(LAYERS, key=str)
    kernels = {layer.kernel_size for _, layer in linears(full_size) if isinstance(layer, nn.Conv2d)}
    assert kernels == {(3, 3), (1, 1)}
    assert color.shape == (1, 2, 112, 112) and logits is not None and logits.shape == (1, 205)
    assert color.min() >= 0 and color.max() <= 1


def test_the_full_network_colours_any_size(full_size: Colorizer):
    rgb = noise(1, 3, 217, 333)
    out = full_size.colorize(rgb)
    assert out.shape == rgb.shape and out.min() >= 0 and out.max() <= 1
    torch.testing.assert_close(split(out, "lab")[0], split(rgb, "lab")[0], atol=1e-5, rtol=0)


@pytest.mark.slow
def test_the_full_network_takes_a_training_step():
    torch.manual_seed(0)
    network = Colorizer(205)
    optimiser = torch.optim.Adadelta(network.parameters())
    lightness, color = split(noise(2, 3, 224, 224), "lab")
    losses: list[float] = []
    for _ in range(3):
        optimiser.zero_grad()
        prediction = network(lightness)
        classes = class_loss(prediction.logits, torch.tensor([3, 204]))
        loss = total(color_loss(prediction.color, color), classes).mean()
        loss.backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


@pytest.mark.parametrize(
    ("options", "count"),
    [
        (dict(), 42_353_839),
        (dict(image_size=32), 42_353_839 - 48 * 512 * 1024),
        (dict(colorspace="rgb"), 42_353_839 + 9 * 32 + 1),
        (dict(fusion="sigmoid"), 42_353_839),
        # Low-level, mid-level, a fusion of 256 to 256, colorization.
        (dict(global_features=False), 2_287_488 + 3_539_712 + 65_792 + 424_802),
    ],
)
def test_options_change_what_they_say(options: dict[str, Any], count: int):
    with torch.device("meta"):
        assert counted(Colorizer(205, **options)) == count
        without = counted(Colorizer(0, **options))
    classifier = 0 if "global_features" in options else 256 * 512 + 256 + 205 * 256 + 205
    assert without == count - classifier


def test_width_scales_every_layer_but_the_colours_and_the_classes():
    with torch.device("meta"):
        whole, quarter = Colorizer(205), Colorizer(205, width=0.25)
        narrowest = Colorizer(205, NetworkOptions(width=0.001, image_size=32))
    for (name, layer), (_, small) in zip(linears(whole), linears(quarter), strict=True):
        outputs, small_outputs = layer.weight.shape[0], small.weight.shape[0]
        is_last = name in ("colorization.6", "classifier.1")
        assert small_outputs == (outputs if is_last else outputs // 4), name
    assert {layer.weight.shape[0] for _, layer in linears(narrowest)} == {1, 2, 205}


def test_an_option_may_be_overridden_and_a_bad_one_is_refused():
    network = Colorizer(3, NetworkOptions(width=0.125, image_size=32), fusion="sigmoid")
    assert network.options == NetworkOptions(width=0.125, image_size=32, fusion="sigmoid")
    assert isinstance(network.fusion.activation, nn.Sigmoid)
    with pytest.raises(UserError, match="num_classes -1: must be 0"):
        Colorizer(-1)
    with pytest.raises(UserError, match="image_size 100: must be a multiple of 32"):
        Colorizer(5, image_size=100)


def parts_with_gradients(network: Colorizer) -> set[str]:
    parts: set[str] = set()
    for name, parameter in network.named_parameters():
        layer = name.rsplit(".", 2)[0]
        if parameter.grad is not None and name.endswith(".weight"):
            assert parameter.grad.any(), f"{name}: all zeros"
            parts.add(layer.split(".")[0])
        assert (parameter.grad is not None) == (layer.split(".")[0] in parts), name
    return parts


def test_the_gradient_of_the_classes_goes_where_the_paper_sends_it():
    network, lightness = tiny(), noise(4, 1, 32, 32)
    _, logits = network(lightness)
    class_loss(logits, torch.tensor([0, 1, 2, 3])).mean().backward()
    assert parts_with_gradients(network) == {"low_level", "global_level", "classifier"}

    network.zero_grad()
    color, _ = network(lightness)
    color_loss(color, noise(4, 2, 32, 32)).mean().backward()
    assert parts_with_gradients(network) == {
        *("low_level", "global_level", "global_output", "mid_level", "fusion", "colorization")
    }


def test_the_low_level_layers_are_the_same_for_both_branches():
    network = trained()
    runs: list[torch.Size] = []
    network.low_level.register_forward_hook(lambda _, __, output: runs.append(output.shape[2:]))
    with torch.no_grad():
        same = network(noise(2, 1, 32, 32))
        assert runs == [(4, 4)]  # both see the same, so that they run once
        again = network(noise(2, 1, 32, 32), noise(2, 1, 32, 32))
        assert runs == [(4, 4), (4, 4), (4, 4)]
        network(noise(2, 1, 64, 40))
        assert runs[3:] == [(8, 5), (4, 4)]
    torch.testing.assert_close(again, same)


def test_classes_are_of_what_the_global_branch_sees_and_colours_of_both():
    network = trained()
    one, other = noise(1, 1, 32, 32), noise(1, 1, 32, 32, seed=1)
    with torch.no_grad():
        own, mixed = network(one), network(one, other)
        torch.testing.assert_close(mixed.logits, network(other).logits)
        assert not torch.allclose(mixed.color, own.color, atol=1e-6)
        assert not torch.allclose(mixed.color, network(other).color, atol=1e-6)


def test_what_the_global_branch_knows_reaches_every_position():
    network = trained(width=0.25)
    lightness = noise(1, 1, 256, 256)
    one, other = noise(1, 1, 32, 32, seed=1), noise(1, 1, 32, 32, seed=2)
    with torch.no_grad():
        changed = (network(lightness, one).color - network(lightness, other).color).abs()
        near = lightness.clone()
        near[..., :64, :64] = 0.5
        local = (network(lightness, one).color - network(near, one).color).abs()
    assert changed.amax(1).min() > 0
    assert local[..., :32, :32].max() > 0 and local[..., 96:, 96:].max() == 0


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("size", [(1, 1), (8, 8), (3, 29), (33, 20), (47, 64)])
def test_pictures_of_any_size_keep_their_lightness(space: Any, size: tuple[int, int]):
    network = trained(colorspace=space)
    rgb = noise(2, 3, *size)
    out = network.colorize(rgb)
    assert out.shape == rgb.shape and out.dtype == torch.float32 and not out.requires_grad
    lightness = split(rgb, space)[0]
    torch.testing.assert_close(split(out, space)[0], lightness, atol=1e-5, rtol=0)
    # Neither the input's colours count, nor the others of the batch.
    grey = torch.full((2, 2, *size), 0.5)
    drained = lightness.expand(-1, 3, -1, -1) if space == "rgb" else join(lightness, grey, space)
    torch.testing.assert_close(network.colorize(drained[:1]), out[:1], atol=1e-4, rtol=0)


def test_sides_are_rounded_to_the_nearest_multiple_of_eight():
    network = tiny().eval()
    seen: list[torch.Size] = []
    network.mid_level.register_forward_hook(lambda _, __, output: seen.append(output.shape[2:]))
    for size in [(1, 3), (11, 12), (333, 217)]:
        network.colorize(noise(1, 3, *size))
    assert seen == [(1, 1), (1, 2), (42, 27)]


def test_a_picture_may_borrow_the_global_features_of_another():
    network = trained()
    one, other = noise(2, 3, 40, 24), noise(1, 3, 64, 64, seed=1)
    with torch.no_grad():
        own = network.global_features(split(one, "lab")[0])
        borrowed = network.global_features(split(other, "lab")[0])
    assert own.shape == (2, 32) and borrowed.shape == (1, 32)
    styled = network.colorize(one, style_from=borrowed)
    with torch.no_grad():
        lightness, seen = split(one, "lab")[0], split(other, "lab")[0].expand(2, -1, -1, -1)
        color = nn.functional.interpolate(
            network(lightness, seen).color, (40, 24), mode="bilinear", align_corners=False
        )
    torch.testing.assert_close(styled, join(lightness, color, "lab"))
    torch.testing.assert_close(network.colorize(one, style_from=own), network.colorize(one))
    assert not torch.allclose(styled, network.colorize(one), atol=1e-5)


def test_without_global_features_there_are_no_classes_and_no_style():
    network = tiny(global_features=False).eval()
    assert network.num_classes == 0
    prediction = network(noise(1, 1, 16, 24))
    assert prediction.logits is None and prediction.color.shape == (1, 2, 8, 12)
    assert network.colorize(noise(1, 3, 17, 21)).shape == (1, 3, 17, 21)
    for use in (
        lambda: network.global_features(noise(1, 1, 32, 32)),
        lambda: network.colorize(noise(1, 3, 16, 16), style_from=noise(1, 32)),
    ):
        with pytest.raises(UserError, match="made without; use another one"):
            use()
    assert tiny(num_classes=0).eval()(noise(1, 1, 32, 32)).logits is None


def test_what_does_not_fit_is_refused():
    network = tiny()
    with pytest.raises(ValueError, match="lightness of 20 x 16 pixels: sides must be multiples"):
        network(noise(1, 1, 16, 20))
    with pytest.raises(ValueError, match=r"needs floats of \(B, 1, H, W\)"):
        network(noise(1, 3, 16, 16))
    with pytest.raises(ValueError, match=r"global_lightness is torch\.float32"):
        network(noise(1, 1, 16, 16), noise(1, 16, 16))
    with pytest.raises(ValueError, match="training mode"):
        network.colorize(noise(1, 3, 16, 16))


def test_layout_and_autocast_change_no_more_than_rounding_does():
    network, lightness = trained(width=0.25), noise(2, 1, 64, 64)
    with torch.no_grad():
        wanted = network(lightness)
        with torch.autocast("cpu", torch.bfloat16):
            color, logits = network(lightness)
        assert color.dtype == torch.float32
        assert (color - wanted.color).abs().mean() < 0.005  # of a spread of 0.2
        error = (logits.float() - wanted.logits).norm() / wanted.logits.norm()
        assert error < 0.05
        network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        found = network(lightness.to(memory_format=torch.channels_last))
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("fusion", ["relu", "sigmoid"])
@pytest.mark.parametrize("space", SPACES)
def test_it_learns_four_pictures_by_heart(space: Any, fusion: Any):
    losses = train(tiny(colorspace=space, fusion=fusion), 60)
    assert losses[-1] < 0.35 * losses[0]


def test_losses_under_a_seed_are_as_they_were():
    # Two steps: in the third the roundings of one CPU and another make a difference of a tenth.
    assert train(tiny(), 2) == pytest.approx([0.0397385, 0.0430984], rel=5e-3)
    local = train(tiny(global_features=False), 3)
    assert local == pytest.approx([0.0465428, 0.0337425, 0.0268124], rel=5e-3)


@pytest.mark.parametrize(
    "options", [dict(), dict(colorspace="rgb", fusion="sigmoid"), dict(global_features=False)]
)
def test_a_file_gives_the_same_network_again(tmp_path: Path, options: dict[str, Any]):
    network = tiny(**options)
    train(network, 2)  # statistics that are not those of a new one
    path = tmp_path / "new" / "colorizer.safetensors"
    save_colorizer(network, path, {"classes": ["abbey", "zoo"], "step": 7})
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    again = load_colorizer(path, options=network.options, num_classes=5)
    assert not again.training and again.options == network.options
    assert again.num_classes == network.num_classes
    rgb = noise(2, 3, 40, 24)
    assert torch.equal(again.colorize(rgb), network.eval().colorize(rgb))
    described = describe_colorizer(path)
    assert described["classes"] == ["abbey", "zoo"] and described["step"] == 7
    assert described["options"] == network.options


def test_a_file_of_another_width_or_number_of_classes_is_refused(tmp_path: Path):
    path = tmp_path / "colorizer.safetensors"
    save_colorizer(tiny(), path)
    with pytest.raises(UserError, match=r"a network of num_classes 5, and 7 is wanted"):
        load_colorizer(path, num_classes=7)
    with pytest.raises(UserError, match=r"a network of width 0.125, and 0.25 is wanted"):
        load_colorizer(path, options=NetworkOptions(width=0.25, image_size=32))
    with pytest.raises(UserError, match="a network of image_size 32, and 224 is wanted"):
        load_colorizer(path, options=NetworkOptions(width=0.125))


def test_what_is_no_colorizer_is_refused_in_one_line(tmp_path: Path):
    good, path = tmp_path / "good.safetensors", tmp_path / "colorizer.safetensors"
    save_colorizer(tiny(), good)
    weights, words = load_file(good), {"format": "arcadia-colorizer-1", "num_classes": "5"}
    options = json.dumps(dict(width=0.125, image_size=32))

    def refused(said: str) -> None:
        with pytest.raises(UserError, match=said) as error:
            load_colorizer(path)
        assert "\n" not in str(error.value) and str(path) in str(error.value)

    refused("no such file")
    path.write_bytes(b"GIF89a, not weights")
    refused("cannot be read as safetensors")
    path.write_bytes(good.read_bytes()[:-100])
    refused("cannot be read as safetensors")
    save_file(weights, path)
    refused("holds no colorizer")
    save_file(weights, path, metadata=words)
    refused("its options are damaged")
    save_file(weights, path, metadata=words | {"options": json.dumps(dict(depth=3))})
    refused("its options are damaged .*depth")
    save_file(weights, path, metadata=words | {"options": options, "num_classes": "6"})
    refused('"classifier.1.weight" is torch.float32')
    del weights["fusion.linear.bias"]
    save_file(weights, path, metadata=words | {"options": options})
    refused('holds no tensor "fusion.linear.bias"')
    save_file(
        load_file(good) | {"fusion.linear.bias": torch.full((32,), float("nan"))},
        path,
        metadata=words | {"options": options},
    )
    refused("damaged")
