"""The repository's own promises: its layout, its pins, the direction of its imports."""

import ast
import itertools
import re
import subprocess
import tomllib
from importlib import resources
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
SHIPPED_WEIGHTS = "platform/arcadia/assets/vgg16_oxford_fp16.safetensors"
SHIPPED_COLORIZER = "platform/arcadia/assets/demo/colorizer.safetensors"
MAY_REACH_UP = {"cli.py", "commands.py", "jobs.py", "tuning.py", "report.py", "demo.py"}


@pytest.mark.parametrize(
    "name",
    [
        *("pyproject.toml", "Makefile", "README.md", "LICENSE", "NOTICE", "cluster.yaml"),
        *("constraints.txt", ".ci/run", ".gitignore", ".rayignore", "platform/arcadia/cli.py"),
        *("platform/runtime_env.yaml", "platform/Dockerfile", ".dockerignore"),
        *("platform/kuberay/raycluster.yaml", "platform/kuberay/rayjob.yaml", "docs/cluster.md"),
        *("algorithms", "pipelines", "tune_configs", "benchmarks", "tests", "docs", "docs/guides"),
    ],
)
def test_the_layout_is_there(name: str):
    assert (ROOT / name).exists()


def test_every_package_is_one_but_the_folder_platform():
    assert not (ROOT / "platform" / "__init__.py").exists()
    for name in ("platform/arcadia", "algorithms", "pipelines", "tune_configs"):
        for path in (ROOT / name).rglob("*.py"):
            assert (path.parent / "__init__.py").is_file(), path


def test_constraints_are_plain_pins_and_name_no_registry():
    lines = [
        line for line in (ROOT / "constraints.txt").read_text().splitlines() if line[:1] != "#"
    ]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", line) for line in lines), lines
    assert "torch==2.13.0" in lines


def test_what_is_pinned_is_what_the_project_asks_for():
    pins = dict(
        line.split("==")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if not line.startswith("#")
    )
    pins = {canonicalize_name(name): version for name, version in pins.items()}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    for wanted in [*project["dependencies"], *itertools.chain(*extras.values())]:
        requirement = Requirement(wanted)
        if requirement.name == project["name"]:  # an extra that takes in another
            assert requirement.extras <= set(extras)
            continue
        assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)]), wanted
    assert "torchvision" not in pins


@pytest.mark.parametrize("name", ["report_template.html.j2", "report_sort.js"])
def test_what_a_report_is_made_of_is_a_resource(name: str):
    assert resources.files("arcadia").joinpath(name).is_file()


def test_shipped_weights_are_a_resource_and_named_with_their_licence():
    assert (resources.files("arcadia") / "assets" / Path(SHIPPED_WEIGHTS).name).is_file()
    notice = (ROOT / "NOTICE").read_text()
    named = notice[notice.index(SHIPPED_WEIGHTS) :]
    assert "Visual Geometry Group" in named and "licenses/by/4.0" in named


def test_imports_go_one_way():
    for folder, above in (
        ("platform/arcadia", {"algorithms", "pipelines", "tune_configs"}),
        ("algorithms", {"pipelines", "tune_configs"}),
    ):
        for path in (ROOT / folder).rglob("*.py"):
            if folder == "platform/arcadia" and path.name in MAY_REACH_UP:
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                names = []
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom):
                    names = [node.module or ""]
                for name in names:
                    assert name.split(".")[0] not in above, f"{path} imports {name}"


@pytest.fixture(scope="module")
def tracked() -> list[Path]:
    """The files that git tracks."""
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("git is not installed: nothing says which files are tracked")
    if listed.returncode or "README.md" not in listed.stdout.split("\0"):
        pytest.skip("not a git checkout: nothing says which files are tracked")
    paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    return [path for path in paths if path.is_file()]


def test_no_tracked_file_is_large_and_all_are_under_45_mb(tracked: list[Path]):
    sizes = {path: path.stat().st_size for path in tracked}
    assert sum(sizes.values()) < 45_000_000
    del sizes[ROOT / SHIPPED_WEIGHTS]
    assert sizes.pop(ROOT / SHIPPED_COLORIZER) < 5_000_000
    assert max(sizes.values()) < 3_000_000, max(sizes, key=sizes.__getitem__)


def test_what_the_demo_works_on_is_named_with_its_licence():
    folder = resources.files("arcadia") / "assets" / "demo"
    shipped = [path.name for path in folder.iterdir() if path.is_file()]
    shipped += [path.name for path in (folder / "photographs").iterdir()]
    notice = (ROOT / "NOTICE").read_text()
    own = notice[notice.index("assets/demo") : notice.index("Its documentation shows")]
    assert len(shipped) == 9
    assert set(shipped) <= set(re.findall(r"\w+\.(?:jpg|mp4|safetensors)", own))


def test_nothing_is_told_to_listen_on_all_interfaces(tracked: list[Path]):
    anywhere = re.compile(rb"(?<![\d.])0\.0\.0\.0(?![\d.])|--bind_all|host[ =:\"']+(::|\*)[\"'\s]")
    found = [path for path in tracked if anywhere.search(path.read_bytes())]
    assert [path for path in found if path != Path(__file__)] == []
    yaml = (ROOT / "cluster.yaml").read_text()
    assert re.findall(r"--dashboard-host=(\S+)", yaml) == ["127.0.0.1"]
