"""KubeRay's manifests: by its schema, by Ray's own reading of them, and by rules of ours."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator, ValidationError
from ray import __version__ as ray_version
from ray.autoscaler._private.kuberay.autoscaling_config import (
    _derive_autoscaling_config_from_ray_cr,
)

from arcadia import __version__
from tests.platform.autoscaling import demand_of, launched

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((Path(__file__).parent / "kuberay_schema" / "ray.io_v1.json").read_text())


def load(name: str) -> dict[str, Any]:
    return yaml.safe_load((ROOT / "platform" / "kuberay" / name).read_text())


CLUSTER, JOB = load("raycluster.yaml"), load("rayjob.yaml")


def strict(schema: Any) -> Any:
    """The schema with every object closed: Kubernetes would drop an unknown field in silence."""
    if isinstance(schema, list):
        return [strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: strict(part) for key, part in schema.items()}
    if schema.get("type") == "object" and "properties" in schema:
        closed["additionalProperties"] = False
    return closed


def validate(manifest: dict[str, Any]) -> None:
    schema = strict(SCHEMA) | {"$ref": f"#/$defs/{manifest['kind']}"}
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(manifest)


def groups(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    spec = manifest["spec"].get("rayClusterSpec", manifest["spec"])
    return [spec["headGroupSpec"], *spec["workerGroupSpecs"]]


def autoscaling(manifest: dict[str, Any]) -> dict[str, Any]:
    """What Ray's autoscaler makes of it in a pod."""
    spec = manifest["spec"].get("rayClusterSpec", manifest["spec"])
    metadata = {"name": "arcadia", "namespace": "default"}
    return _derive_autoscaling_config_from_ray_cr({"metadata": metadata, "spec": spec})


@pytest.mark.parametrize("manifest", [CLUSTER, JOB], ids=["cluster", "job"])
def test_the_schema_takes_it(manifest: dict[str, Any]):
    validate(manifest)


def _misspell_spec(cluster: dict[str, Any], job: dict[str, Any]) -> None:
    cluster["enableInTreeAutoscalling"] = cluster.pop("enableInTreeAutoscaling")


def _misspell_group(cluster: dict[str, Any], job: dict[str, Any]) -> None:
    cluster["workerGroupSpecs"][0]["maxReplica"] = cluster["workerGroupSpecs"][0]["maxReplicas"]


def _misspell_auth(cluster: dict[str, Any], job: dict[str, Any]) -> None:
    cluster["authOptions"]["modus"] = cluster["authOptions"].pop("mode")


def _misspell_container(cluster: dict[str, Any], job: dict[str, Any]) -> None:
    cluster["headGroupSpec"]["template"]["spec"]["containers"][0]["img"] = "arcadia"


def _misspell_job(cluster: dict[str, Any], job: dict[str, Any]) -> None:
    job["shutdownAfterJobFinish"] = True


def _bad_auth_mode(cluster: dict[str, Any], job: dict[str, Any]) -> None:
    cluster["authOptions"]["mode"] = "tokens"


def _bad_submission_mode(cluster: dict[str, Any], job: dict[str, Any]) -> None:
    job["submissionMode"] = "K8SJobMode"


def _bad_upscaling_mode(cluster: dict[str, Any], job: dict[str, Any]) -> None:
    cluster["autoscalerOptions"]["upscalingMode"] = "Fast"


def _replicas_as_text(cluster: dict[str, Any], job: dict[str, Any]) -> None:
    cluster["workerGroupSpecs"][1]["maxReplicas"] = "4"


def _cpus_as_number(cluster: dict[str, Any], job: dict[str, Any]) -> None:
    cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] = 0


def _memory_of_no_unit(cluster: dict[str, Any], job: dict[str, Any]) -> None:
    template = cluster["headGroupSpec"]["template"]["spec"]
    template["containers"][0]["resources"]["limits"]["memory"] = "16GB"


def _no_max_replicas(cluster: dict[str, Any], job: dict[str, Any]) -> None:
    del cluster["workerGroupSpecs"][0]["maxReplicas"]


def _deadline_as_text(cluster: dict[str, Any], job: dict[str, Any]) -> None:
    job["activeDeadlineSeconds"] = "2d"


@pytest.mark.parametrize(
    "break_it",
    [
        *(_misspell_spec, _misspell_group, _misspell_auth, _misspell_container, _misspell_job),
        *(_bad_auth_mode, _bad_submission_mode, _bad_upscaling_mode),
        *(_replicas_as_text, _cpus_as_number, _memory_of_no_unit, _no_max_replicas),
        _deadline_as_text,
    ],
)
def test_the_schema_refuses_a_broken_one(break_it: Callable[..., None]):
    job = copy.deepcopy(JOB)
    # Aliases of YAML are one object, of which a change would be everywhere.
    job = json.loads(json.dumps(job))
    break_it(job["spec"]["rayClusterSpec"], job["spec"])
    assert job != JOB
    with pytest.raises(ValidationError):
        validate(job)


def test_a_job_makes_the_same_cluster():
    assert JOB["spec"]["rayClusterSpec"] == CLUSTER["spec"]
    assert CLUSTER["spec"]["rayVersion"] == ray_version


@pytest.mark.parametrize("manifest", [CLUSTER, JOB], ids=["cluster", "job"])
def test_ray_reads_a_head_without_work_and_two_groups(manifest: dict[str, Any]):
    config = autoscaling(manifest)
    types = config["available_node_types"]
    assert types[config["head_node_type"]]["resources"]["CPU"] == 0
    assert "GPU" not in types["acting"]["resources"]
    assert types["learning"]["resources"]["GPU"] == 1
    limits = {name: (node["min_workers"], node["max_workers"]) for name, node in types.items()}
    assert limits == {"headgroup": (0, 0), "acting": (0, 16), "learning": (0, 4)}
    assert config["max_workers"] == 20 and config["idle_timeout_minutes"] == 10
    assert types["learning"]["idle_timeout_s"] == 300


def test_the_job_starts_pods_of_the_right_groups():
    config = autoscaling(JOB)
    demand = demand_of(JOB["spec"]["entrypoint"])
    nodes, infeasible = launched(config, demand)
    assert not infeasible and nodes["learning"] == 1
    cpus = {name: t["resources"]["CPU"] for name, t in config["available_node_types"].items()}
    wanted = sum(resources.get("CPU", 0) * count for resources, count in demand)
    assert sum(cpus[name] * count for name, count in nodes.items()) >= wanted > 30
    everything, _ = launched(config, [({"CPU": 1}, 5_000), ({"GPU": 1}, 50)])
    assert everything == {"acting": 16, "learning": 4}


def test_the_jobs_words_survive_the_shell_that_kuberay_puts_them_in():
    words = JOB["spec"]["entrypoint"]
    assert not set(words) & set("'\"\\;&|<>$`(){}*?#~!\n")
    assert "--run-dir s3://" in words and "runtimeEnvYAML" not in JOB["spec"]


def test_the_job_ends_by_itself_and_its_cluster_with_it():
    spec = JOB["spec"]
    assert spec["shutdownAfterJobFinishes"] is True and 0 < spec["ttlSecondsAfterFinished"] <= 3_600
    assert spec["activeDeadlineSeconds"] > 0 and spec["backoffLimit"] == 0


def test_a_token_is_needed_and_nothing_is_open_to_the_outside():
    spec = CLUSTER["spec"]
    assert spec["authOptions"] == {"mode": "token"}
    assert spec["headGroupSpec"]["serviceType"] == "ClusterIP"
    assert spec["headGroupSpec"]["enableIngress"] is False
    text = (ROOT / "platform/kuberay/raycluster.yaml").read_text()
    assert "RAY_AUTH" not in text and "hostNetwork" not in text and "hostPort" not in text


def test_only_what_may_be_lost_is_on_spot_nodes():
    kinds = [
        group["template"]["spec"]["nodeSelector"]["karpenter.sh/capacity-type"]
        for group in groups(CLUSTER)
    ]
    assert kinds == ["on-demand", "spot", "on-demand"]


def test_no_container_is_root_and_each_has_its_share():
    spec = JOB["spec"]
    pods = [group["template"]["spec"] for group in groups(JOB)]
    pods.append(spec["submitterPodTemplate"]["spec"])
    contexts = []
    for pod in pods:
        assert pod["restartPolicy"] == "Never"
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] == 1000  # as platform/Dockerfile makes it
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            contexts.append(container["securityContext"])
            assert {"cpu", "memory"} <= set(container["resources"]["limits"])
            assert {"cpu", "memory"} <= set(container["resources"]["requests"])
    contexts.append(spec["rayClusterSpec"]["autoscalerOptions"]["securityContext"])
    for context in contexts:
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}


def test_a_cpu_of_rays_is_one_of_the_nodes():
    for group in groups(CLUSTER)[1:]:
        resources = group["template"]["spec"]["containers"][0]["resources"]
        assert resources["requests"] == resources["limits"]


def test_images_are_of_this_version_and_gpus_have_cudas():
    images = [group["template"]["spec"]["containers"][0]["image"] for group in groups(CLUSTER)]
    assert images == [f"arcadia:{__version__}-{build}" for build in ("cpu", "cpu", "cu130")]
    submitter = JOB["spec"]["submitterPodTemplate"]["spec"]["containers"][0]["image"]
    assert submitter == images[0]
