import pytest
import ray
import torch

from arcadia.errors import UserError
from arcadia.workers import own_device, workers_for


def _of(resources, num_parts, **asked) -> tuple[int, int, float]:
    found = workers_for(resources, num_parts, **asked)
    return found.number, found.num_cpus, found.num_gpus


@pytest.mark.parametrize(
    ("resources", "num_parts", "asked", "expected"),
    [
        ({"CPU": 2}, 1, {}, (1, 2, 0)),
        ({"CPU": 2}, 6, {}, (2, 1, 0)),
        ({"CPU": 8}, 2, {}, (2, 4, 0)),
        ({"CPU": 8}, 9, {"num_cpus": 4}, (2, 4, 0)),
        ({"CPU": 16, "GPU": 4}, 9, {}, (4, 1, 1)),
        ({"CPU": 16, "GPU": 4}, 2, {}, (2, 1, 1)),
        ({"CPU": 16, "GPU": 2}, 9, {"num_gpus": 0.5}, (4, 1, 0.5)),
        # Of 0.6 GPUs one fits on each.
        ({"CPU": 16, "GPU": 2}, 9, {"num_gpus": 0.6}, (2, 1, 0.6)),
        ({"CPU": 16, "GPU": 4}, 9, {"num_gpus": 2}, (2, 1, 2)),
        ({"CPU": 4, "GPU": 1}, 9, {"num_gpus": 0}, (4, 1, 0)),
        # Two machines of four: nobody has eight.
        ({"CPU": 8}, 1, {"largest_node_cpus": 4}, (1, 4, 0)),
        ({"CPU": 8}, 2, {"largest_node_cpus": 4}, (2, 4, 0)),
    ],
)
def test_workers_share_what_is_there(resources, num_parts, asked, expected):
    assert _of(resources, num_parts, **asked) == expected


def test_neighbours_are_those_that_share_a_memory():
    assert workers_for({"CPU": 8, "GPU": 2}, 9, num_gpus=0.25).num_neighbours == 4
    assert workers_for({"CPU": 8, "GPU": 2}, 9).num_neighbours == 1
    assert workers_for({"CPU": 8}, 9).num_neighbours == 8
    assert workers_for({"CPU": 8}, 9, largest_node_cpus=2).num_neighbours == 2


@pytest.mark.parametrize(
    ("resources", "asked", "complaint"),
    [
        ({"CPU": 4}, {"num_gpus": 1}, "num_gpus_per_worker 1: the cluster has 0 GPUs"),
        ({"CPU": 4, "GPU": 4}, {"num_gpus": 1.5}, "above 1 it must be a whole number"),
        ({"CPU": 4}, {"number": 5}, "num_workers 5, num_cpus_per_worker 1: the cluster has 4 CPUs"),
        ({"CPU": 4, "GPU": 1}, {"number": 2}, "num_gpus_per_worker 1: the cluster"),
        ({"CPU": 8}, {"num_cpus": 8, "largest_node_cpus": 4}, "no machine has more than 4 CPUs"),
    ],
)
def test_what_is_not_there_is_refused(resources, asked, complaint):
    with pytest.raises(UserError, match=complaint):
        workers_for(resources, 9, **asked)


def test_a_process_of_rays_computes_where_it_was_told(ray_session, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert own_device().type == "cpu"  # it was given none, though torch sees one
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    assert own_device().type == "cuda"
