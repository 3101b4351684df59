import torch

from arcadia.precision import dtype_on


def test_precision_is_the_devices_unless_it_is_asked_for():
    assert dtype_on(torch.device("cpu")) == torch.float32
    assert dtype_on(torch.device("cpu"), "float16") == torch.float16
    assert dtype_on(torch.device("cpu"), "bfloat16") == torch.bfloat16
