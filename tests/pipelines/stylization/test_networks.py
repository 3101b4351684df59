"""VGG against plain torch layers, published numbers, and the geometry of its layers."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from arcadia.errors import UserError
from arcadia.weights import find_weights
from pipelines.stylization.config import layer_names
from pipelines.stylization.networks import VGG, load_vgg, receptive_radius, stride

LAYERS = {
    "vgg16": (
        *("relu1_1", "relu1_2", "relu2_1", "relu2_2", "relu3_1", "relu3_2", "relu3_3"),
        *("relu4_1", "relu4_2", "relu4_3", "relu5_1", "relu5_2", "relu5_3"),
    ),
    "vgg19": (
        *("relu1_1", "relu1_2", "relu2_1", "relu2_2", "relu3_1", "relu3_2", "relu3_3", "relu3_4"),
        *("relu4_1", "relu4_2", "relu4_3", "relu4_4", "relu5_1", "relu5_2", "relu5_3", "relu5_4"),
    ),
}
# torchvision's configurations D and E, "M" for the poolings.
CONFIGURATIONS = {
    "vgg16": [64, 64, "M", 128, 128, "M", *[256] * 3, "M", *[512] * 3, "M", *[512] * 3],
    "vgg19": [64, 64, "M", 128, 128, "M", *[256] * 4, "M", *[512] * 4, "M", *[512] * 4],
}
# The first weight and bias of each layer of VGG_ILSVRC_16_layers, as published.
FIRST_NUMBERS = {
    "conv1_1": (0.4800154, 0.73429835),
    "conv1_2": (0.16621928, -0.30912212),
    "conv2_1": (-0.008902963, -0.04577766),
    "conv2_2": (-0.0023012366, -0.06418542),
    "conv3_1": (0.002486315, -0.074358866),
    "conv3_2": (-0.0103266295, 0.019675018),
    "conv3_3": (0.0024918285, 0.035415243),
    "conv4_1": (-0.012453815, 0.013485669),
    "conv4_2": (0.007116542, 0.023680462),
    "conv4_3": (-0.0041355654, 0.03757768),
    "conv5_1": (-0.0006068934, 0.09722325),
    "conv5_2": (-0.0011261065, 0.21327873),
    "conv5_3": (0.00040788297, 0.18837857),
}


def plain(network: str, pooling: type[nn.Module] = nn.MaxPool2d) -> nn.Sequential:
    """The convolutions of a network as torchvision writes them, with random weights."""
    layers: list[nn.Module] = []
    num_inputs = 3
    for width in CONFIGURATIONS[network]:
        if isinstance(width, int):
            layers += [nn.Conv2d(num_inputs, width, 3, padding=1), nn.ReLU()]
            num_inputs = width
        else:
            layers += [pooling(2)]
    return nn.Sequential(*layers)


def rectified(layers: Iterable[nn.Module], x: Tensor) -> list[Tensor]:
    found: list[Tensor] = []
    for layer in layers:
        x = layer(x)
        if isinstance(layer, nn.ReLU):
            found.append(x)
    return found


@pytest.fixture
def image() -> Tensor:
    return torch.rand(2, 3, 37, 52, generator=torch.Generator().manual_seed(0)) * 255


@pytest.mark.parametrize("network", ["vgg16", "vgg19"])
def test_layers_have_their_names_shapes_and_order(network: Any, image: Tensor):
    assert layer_names(network) == LAYERS[network]
    features = VGG(network, LAYERS[network][::-1])(image)
    assert tuple(features) == LAYERS[network]
    width = {"1": 64, "2": 128, "3": 256, "4": 512, "5": 512}
    size = {"1": (37, 52), "2": (18, 26), "3": (9, 13), "4": (4, 6), "5": (2, 3)}
    for name, feature in features.items():
        assert feature.shape == (2, width[name[4]], *size[name[4]])
        assert feature.min() >= 0


def test_only_what_was_asked_for_is_built_and_returned(image: Tensor):
    assert set(VGG("vgg16", ["relu3_1", "relu1_2"])(image[..., :8, :8])) == {"relu1_2", "relu3_1"}
    for layer, count in [
        ("relu1_1", 3 * 64 * 9 + 64),
        ("relu2_1", 3 * 64 * 9 + 64 + 64 * 64 * 9 + 64 + 64 * 128 * 9 + 128),
        ("relu5_3", 14_714_688),
    ]:
        vgg = VGG("vgg16", ["relu1_1", layer])
        assert sum(parameter.numel() for parameter in vgg.parameters()) == count
        assert not vgg.training and not any(p.requires_grad for p in vgg.parameters())
    assert sum(p.numel() for p in VGG("vgg19", ["relu5_4"]).parameters()) == 20_024_384


@pytest.mark.parametrize(("pooling", "module"), [("max", nn.MaxPool2d), ("average", nn.AvgPool2d)])
def test_vgg16_equals_plain_layers_on_an_image_less_its_mean(
    image: Tensor, pooling: Any, module: type[nn.Module]
):
    weights = load_file(find_weights("vgg16"))
    network = plain("vgg16", module)
    convolutions = [layer for layer in network if isinstance(layer, nn.Conv2d)]
    for layer, name in zip(convolutions, FIRST_NUMBERS, strict=True):
        layer.weight.data = weights[f"{name}.weight"].float()
        layer.bias.data = weights[f"{name}.bias"].float()
    mean = torch.tensor([123.68, 116.779, 103.939]).view(3, 1, 1)
    with torch.no_grad():
        wanted = rectified(network, image - mean)
        features = load_vgg("vgg16", LAYERS["vgg16"], pooling=pooling)(image)
    for (name, feature), reference in zip(features.items(), wanted, strict=True):
        assert torch.equal(feature, reference), name


def test_vgg19_equals_torchvisions_normalised_network_times_one_factor(
    tmp_path: Path, image: Tensor
):
    network = plain("vgg19")
    for layer in network:
        if isinstance(layer, nn.Conv2d):  # biases that matter
            nn.init.kaiming_normal_(layer.weight)
            nn.init.normal_(layer.bias)
    named = {f"features.{name}": tensor for name, tensor in network.state_dict().items()}
    save_file(named, tmp_path / "vgg19.safetensors")
    mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
    deviation = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    with torch.no_grad():
        wanted = rectified(network, (image / 255 - mean) / deviation)
        features = load_vgg("vgg19", LAYERS["vgg19"], tmp_path / "vgg19.safetensors")(image)
    factor = 255 * (0.229 + 0.224 + 0.225) / 3
    for (name, feature), reference in zip(features.items(), wanted, strict=True):
        # The border counts: padding stands for the mean colour in both.
        error = (feature - factor * reference).abs().max() / feature.abs().max()
        assert error < 1e-5, name


def test_an_image_of_the_mean_colour_has_no_border():
    vgg = load_vgg("vgg16", ["relu1_1"])
    feature = vgg(vgg.mean.expand(1, 3, 8, 8))["relu1_1"]
    assert torch.equal(feature, feature[..., 3:4, 3:4].expand_as(feature))
    bright = vgg(torch.full((1, 3, 8, 8), 255.0))["relu1_1"]
    assert not torch.equal(bright, bright[..., 3:4, 3:4].expand_as(bright))


def test_shipped_weights_are_those_that_oxford_published():
    weights = load_file(find_weights("vgg16"))
    assert set(weights) == {f"{n}.{kind}" for n in FIRST_NUMBERS for kind in ("weight", "bias")}
    for name, first in FIRST_NUMBERS.items():
        held = weights[f"{name}.weight"].flatten()[0], weights[f"{name}.bias"][0]
        # Half precision keeps eleven bits.
        assert [float(number) for number in held] == pytest.approx(first, rel=2**-11), name
    # The published input is BGR, so that its first filter's first row stands in our last channel.
    row = weights["conv1_1.weight"][0, 2, 0]
    assert row.tolist() == pytest.approx([0.42947057, 0.373467, -0.061360113], rel=2**-11)
    assert float(weights["conv1_2.weight"][63, 63, 2, 2]) == pytest.approx(0.016082443, rel=2**-11)
    assert float(weights["conv2_1.bias"][1]) == pytest.approx(0.06440781, rel=2**-11)


def test_the_gradient_reaches_the_image_and_nothing_else(image: Tensor):
    vgg = load_vgg("vgg16", ["relu1_1", "relu2_2", "relu3_1"])
    image.requires_grad_()
    features = vgg(image)
    before = {name: feature.detach().clone() for name, feature in features.items()}
    sum(feature.square().mean() for feature in features.values()).backward()
    assert image.grad is not None and (image.grad != 0).any(1).float().mean() > 0.99
    assert all(parameter.grad is None for parameter in vgg.parameters())
    for name, feature in features.items():  # no later layer has written into it
        assert torch.equal(feature, before[name])


def test_the_gradient_is_the_slope(image: Tensor):
    vgg = load_vgg("vgg16", ["relu2_1"]).double()
    image = image[:1, :, :8, :8].double().requires_grad_()

    def energy(x: Tensor) -> Tensor:
        return vgg(x)["relu2_1"].square().mean()

    (gradient,) = torch.autograd.grad(energy(image), image)
    direction = torch.randn(image.shape, generator=torch.Generator().manual_seed(1)).double()
    step = 1e-5
    slope = (energy(image + step * direction) - energy(image - step * direction)) / (2 * step)
    assert float((gradient * direction).sum()) == pytest.approx(float(slope.detach()), rel=1e-4)


@pytest.mark.parametrize("layer", ["relu1_1", "relu2_2", "relu3_3", "relu4_2", "relu5_1"])
def test_the_layout_in_memory_changes_no_number(image: Tensor, layer: str):
    vgg = load_vgg("vgg16", [layer])
    wanted = vgg(image)[layer]
    vgg = vgg.to(memory_format=torch.channels_last)
    for given in (image, image.to(memory_format=torch.channels_last)):
        feature = vgg(given)[layer]
        assert feature.is_contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(feature, wanted, rtol=1e-4, atol=1e-4 * float(wanted.max()))


def test_photographs_fit_into_half_precision(test_data: Path):
    from arcadia.media import read_image

    vgg = load_vgg("vgg16", LAYERS["vgg16"])
    for name in ("animals/bison.webp", "animals/cat.webp", "animals/chameleon.webp"):
        path = test_data / "photos" / name
        picture = torch.from_numpy(read_image(path)).permute(2, 0, 1)[None, :, :192, :256].float()
        assert max(float(feature.max()) for feature in vgg(picture).values()) < 65504 / 2


def test_autocast_gives_the_same_features_in_half_precision(image: Tensor):
    vgg = load_vgg("vgg16", ["relu1_2", "relu2_1"])  # some processors emulate it slowly
    wanted = vgg(image)
    with torch.autocast("cpu", torch.bfloat16):
        features = vgg(image)
    for layer, feature in features.items():
        assert feature.dtype == torch.bfloat16
        error = (feature.float() - wanted[layer]).norm() / wanted[layer].norm()
        assert error < 0.02, layer


@pytest.mark.parametrize(
    ("layer", "radius", "pixels"),
    [
        ("relu1_1", 1, 1),
        ("relu1_2", 2, 1),
        ("relu2_1", 4, 2),
        ("relu3_3", 2 + 4 + 12, 4),
        ("relu4_2", 2 + 4 + 12 + 16, 8),
        ("relu5_1", 58, 16),
    ],
)
def test_a_position_sees_its_own_square_and_a_radius_around_it(
    layer: str, radius: int, pixels: int
):
    assert (receptive_radius("vgg16", layer), stride(layer)) == (radius, pixels)
    # Positive weights, and nothing chosen among pixels: whatever can matter does.
    vgg = VGG("vgg16", [layer], pooling="average")
    for parameter in vgg.parameters():
        parameter.abs_()
    length = 2 * radius + 4 * pixels
    length += -length % pixels
    index = -(-radius // pixels) + 1
    first, last = index * pixels - radius, (index + 1) * pixels - 1 + radius
    assert first > 0 and last < length - 1
    for size in ((pixels, length), (length, pixels)):
        image = torch.full((1, 3, *size), 255.0, requires_grad=True)
        feature = vgg(image)[layer].sum((0, 1)).flatten()
        assert len(feature) == length // pixels
        (gradient,) = torch.autograd.grad(feature[index], image)
        seen = gradient.sum(1).reshape(-1, pixels) if size[0] > pixels else gradient.sum(1)[0].T
        assert seen.any(-1).nonzero().flatten().tolist() == list(range(first, last + 1))


def test_what_lies_beyond_the_radius_changes_nothing():
    layer, radius, pixels = "relu3_1", receptive_radius("vgg16", "relu3_1"), stride("relu3_1")
    vgg = load_vgg("vgg16", [layer])
    rng = torch.Generator().manual_seed(0)
    image = torch.rand(1, 3, 16, 80, generator=rng) * 255
    index = 10
    other = torch.rand(image.shape, generator=rng) * 255
    first, last = index * pixels - radius, (index + 1) * pixels - 1 + radius
    other[..., first : last + 1] = image[..., first : last + 1]
    ours, theirs = vgg(image)[layer], vgg(other)[layer]
    same = (ours == theirs).all(2).all(1)[0]
    assert same[index] and not same[index - 1] and not same[index + 1]


def test_vgg19_sees_further_where_it_has_more_layers():
    # One more convolution in each of the blocks 3 to 5.
    assert receptive_radius("vgg19", "relu3_1") == receptive_radius("vgg16", "relu3_1")
    assert receptive_radius("vgg19", "relu5_1") == receptive_radius("vgg16", "relu5_1") + 4 + 8
    assert receptive_radius("vgg19", "relu5_4") == 2 + 4 + 4 * 4 + 4 * 8 + 4 * 16
    assert stride("relu5_4") == 16


def test_wrong_names_are_told():
    with pytest.raises(UserError, match=r'layer "relu4_4": vgg16 has relu1_1 to relu5_3; did you'):
        VGG("vgg16", ["relu1_1", "relu4_4"])
    with pytest.raises(UserError, match='layer "conv4_2"'):
        load_vgg("vgg16", ["conv4_2"])
    with pytest.raises(UserError, match=r"no layer was named: vgg16 has relu1_1 to relu5_3"):
        VGG("vgg16", [])
    wrong: Any = "vgg-19"
    with pytest.raises(UserError, match=r'network "vgg-19": not known; did you mean "vgg19"\?'):
        VGG(wrong, ["relu1_1"])
    wrong = "mean"
    with pytest.raises(UserError, match='pooling "mean": choose max or average'):
        VGG("vgg16", ["relu1_1"], pooling=wrong)


def test_images_that_cannot_be_taken_are_told(image: Tensor):
    vgg = VGG("vgg16", ["relu1_1", "relu5_1"])
    with pytest.raises(UserError, match=r"image of 52 x 15 pixels: relu5_1 needs at least 16 x 16"):
        vgg(image[..., :15, :])
    assert vgg(image[..., :16, :16])["relu5_1"].shape == (2, 512, 1, 1)
    for wrong in (image[0], image[:, :1], image.byte()):
        with pytest.raises(ValueError, match="needs floats of"):
            vgg(wrong)


def test_weights_of_another_network_are_refused(tmp_path: Path):
    with pytest.raises(UserError, match=r'holds no tensor "features\.0\.bias".*give another file'):
        load_vgg("vgg19", ["relu1_1"], find_weights("vgg16"))
    weights = {name: tensor.float() for name, tensor in load_file(find_weights("vgg16")).items()}
    weights["conv1_2.weight"] = weights["conv1_2.weight"][:, :32].contiguous()
    save_file(weights, tmp_path / "a.safetensors")
    with pytest.raises(UserError, match=r'a\.safetensors: "conv1_2\.weight" is .*\(64, 32, 3, 3\)'):
        load_vgg("vgg16", ["relu5_1"], tmp_path / "a.safetensors")
    load_vgg("vgg16", ["relu1_1"], tmp_path / "a.safetensors")  # reads no further than it needs
