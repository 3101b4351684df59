"""Files of torch.save are read without unpickling: against torch itself, and hostile ones."""

from __future__ import annotations

import copyreg
import os
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from arcadia.errors import UserError
from arcadia.torch_files import read_torch_file

FORMATS = pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "legacy"])


def save(content: Any, path: Path, is_zip: bool) -> None:
    torch.save(content, path, _use_new_zipfile_serialization=is_zip)


def assert_same(read: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    assert read.keys() == wanted.keys()
    for name, tensor in wanted.items():
        assert read[name].dtype == tensor.dtype and read[name].is_contiguous()
        assert torch.equal(read[name], tensor), name


@FORMATS
def test_a_state_dictionary_comes_back(tmp_path: Path, is_zip: bool):
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(2, 5))
    save(network.state_dict(), tmp_path / "a.pth", is_zip)
    read = read_torch_file(tmp_path / "a.pth")
    assert read["1.num_batches_tracked"].shape == ()
    assert_same(read, dict(network.state_dict()))
    some = read_torch_file(tmp_path / "a.pth", "2.")
    assert_same(some, {"2.weight": network[2].weight.data, "2.bias": network[2].bias.data})


@FORMATS
def test_views_types_and_parameters_come_back(tmp_path: Path, is_zip: bool):
    numbers = torch.arange(24.0)
    content = {
        "turned": numbers.view(4, 6).t(),
        "part": numbers[5:9],
        "half": torch.tensor([1.5, -2.0]).half(),
        "brain": torch.tensor([[0.25]]).bfloat16(),
        "double": torch.tensor([0.1], dtype=torch.float64),
        "long": torch.tensor([1 << 40]),
        "parameter": nn.Parameter(torch.randn(2, 2), requires_grad=False),
        **{f"w{i}": torch.tensor([float(i)]) for i in range(300)},  # memo numbers above 255
    }
    others = {"epoch": 90, "name": "x", "loss": 0.5, "rest": [1, (2, None)]}
    save(content | others, tmp_path / "a.pth", is_zip)
    read = read_torch_file(tmp_path / "a.pth")
    assert_same(read, {name: tensor.detach() for name, tensor in content.items()})


class OldTensor:
    """Pickled as torch before 0.4 pickled a tensor: made by a call, or empty and then filled."""

    def __init__(self, tensor: Tensor, *, is_filled: bool) -> None:
        storage = tensor.storage()  # typed, as they were
        self.state = storage, tensor.storage_offset(), tensor.size(), tensor.stride()
        self.is_filled = is_filled

    def __reduce__(self) -> tuple[Any, ...]:
        if self.is_filled:
            return torch.FloatTensor, (), self.state
        return torch._utils._rebuild_tensor, self.state


class OldParameter:
    """Pickled as torch before 0.4 pickled a parameter: empty, then filled with its tensor."""

    __class__ = nn.Parameter  # the pickler compares it with what it is asked to make

    def __init__(self, tensor: OldTensor) -> None:
        self.tensor = tensor

    def __reduce__(self) -> tuple[Any, ...]:
        state = self.tensor, None, OrderedDict(), True, False
        return copyreg.__newobj__, (nn.Parameter,), state


@pytest.mark.filterwarnings("ignore:TypedStorage is deprecated")
@pytest.mark.parametrize("is_parameter", [True, False])
@pytest.mark.parametrize("is_filled", [True, False])
def test_tensors_come_back_as_torchvisions_first_networks_hold_them(
    tmp_path: Path, is_filled: bool, is_parameter: bool
):
    tensors = {"features.0.weight": torch.randn(2, 3), "features.0.bias": torch.randn(2)}
    content: OrderedDict[str, Any] = OrderedDict()
    for name, tensor in tensors.items():
        old = OldTensor(tensor, is_filled=is_filled)
        content[name] = OldParameter(old) if is_parameter else old
    save(content, tmp_path / "a.pth", is_zip=False)
    assert_same(read_torch_file(tmp_path / "a.pth"), tensors)
    if not is_filled:  # torch itself no longer fills tensors
        again = torch.load(tmp_path / "a.pth", weights_only=True)
        assert_same({name: tensor.detach() for name, tensor in again.items()}, tensors)


class Hostile:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.target),)


@FORMATS
def test_nothing_in_a_file_is_run(tmp_path: Path, is_zip: bool):
    tensors = {"w": torch.ones(2), "x": Hostile(tmp_path / "made")}
    save(tensors, tmp_path / "a.pth", is_zip)
    with pytest.raises(UserError, match=r"a\.pth: cannot be read .*it asks for posix\.mkdir"):
        read_torch_file(tmp_path / "a.pth")
    assert not (tmp_path / "made").exists()
    # The same file does it when it is unpickled.
    with pytest.raises(FileNotFoundError):
        os.rmdir(tmp_path / "made")
    torch.load(tmp_path / "a.pth", weights_only=False)
    assert (tmp_path / "made").is_dir()


@FORMATS
def test_a_tensor_that_reaches_beyond_its_numbers_is_refused(tmp_path: Path, is_zip: bool):
    save({"w": torch.arange(6.0).view(2, 3)}, tmp_path / "a.pth", is_zip)
    data = (tmp_path / "a.pth").read_bytes()
    size, larger = (pickle.dumps((2, 3), 2)[2:-3], pickle.dumps((2, 9), 2)[2:-3])
    assert data.count(size) == 1
    (tmp_path / "b.pth").write_bytes(data.replace(size, larger))
    with pytest.raises(UserError, match=r"b\.pth: cannot be read"):
        read_torch_file(tmp_path / "b.pth")


@pytest.mark.parametrize(
    "content", [[torch.ones(2)], {"a": 1}, {1: torch.ones(1)}, torch.ones(2), nn.Linear(1, 1)]
)
@FORMATS
def test_what_holds_no_named_tensors_is_told_in_one_line(
    tmp_path: Path, content: Any, is_zip: bool
):
    save(content, tmp_path / "a.pth", is_zip)
    with pytest.raises(
        UserError, match=r"a\.pth: cannot be read as tensors of torch\.save"
    ) as told:
        read_torch_file(tmp_path / "a.pth")
    assert "\n" not in str(told.value)


def test_what_is_no_file_of_torch_is_told_in_one_line(tmp_path: Path):
    pickled, text, empty = (tmp_path / name for name in ("pickled", "text", "empty"))
    pickled.write_bytes(pickle.dumps({"w": [1.0]}))
    text.write_text("no weights here")
    empty.write_bytes(b"")
    for path in (pickled, text, empty):
        with pytest.raises(UserError, match=f"{path.name}: cannot be read as tensors"):
            read_torch_file(path)
    with pytest.raises(UserError, match="missing: cannot read: No such file"):
        read_torch_file(tmp_path / "missing")
    with pytest.raises(UserError, match="cannot read: Is a directory"):
        read_torch_file(tmp_path)


@FORMATS
def test_damage_anywhere_is_one_error_or_other_numbers(tmp_path: Path, is_zip: bool):
    wanted = {"features.0.weight": torch.randn(2, 3), "features.0.bias": torch.randn(2)}
    save(wanted, path := tmp_path / "a.pth", is_zip)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(400):
        damaged = bytearray(whole)
        place = rng.integers(len(damaged))
        damaged[place] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            read = read_torch_file(path)
        except UserError:
            refused += 1
        else:
            assert all(isinstance(tensor, Tensor) for tensor in read.values())
    assert refused > 40
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"a\.pth: cannot be read"):
            read_torch_file(path)
