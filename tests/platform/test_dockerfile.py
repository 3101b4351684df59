"""platform/Dockerfile without Docker: what it says, and the wheel from what it copies."""

import fnmatch
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from arcadia import __version__

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "platform" / "Dockerfile").read_text()


def instructions() -> list[tuple[str, str]]:
    """Each instruction and its arguments on one line, comments left out."""
    lines = [line for line in TEXT.splitlines() if line.strip() and not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    pairs = [line.split(None, 1) for line in joined.splitlines()]
    return [(word.upper(), " ".join(rest.split())) for word, rest in pairs]


def stages() -> list[list[tuple[str, str]]]:
    """The instructions of each stage, from its FROM on."""
    found: list[list[tuple[str, str]]] = []
    for word, rest in instructions():
        if word == "FROM":
            found.append([])
        if found:
            found[-1].append((word, rest))
    return found


def copied() -> dict[str, str]:
    """What is copied from the context: its path there and in the stage's folder."""
    pairs = {}
    for word, rest in instructions():
        if word == "COPY":
            *sources, target = rest.split()
            assert not rest.startswith("--"), rest
            for source in sources:
                pairs[source] = source if target == "./" else target
    return pairs


def test_every_base_is_pinned_to_a_version_of_python_that_the_project_takes():
    arguments = dict(rest.split("=") for word, rest in instructions() if word == "ARG")
    bases = [stage[0][1].split()[0] for stage in stages()]
    assert bases == ["${PYTHON_IMAGE}"] * 2
    assert re.fullmatch(r"python:3\.1[12]\.\d+-slim-[a-z]+", arguments["PYTHON_IMAGE"])
    assert arguments["ACCELERATOR"] == "cpu"


def test_it_runs_as_somebody_who_is_not_root():
    last = stages()[-1]
    users = [rest for word, rest in last if word == "USER"]
    assert users == ["1000:1000"]
    after = [word for word, _ in last][[word for word, _ in last].index("USER") :]
    assert "RUN" not in after and "COPY" not in after
    assert any("useradd --uid 1000" in rest for word, rest in last if word == "RUN")


def test_kuberay_can_start_it():
    last = stages()[-1]
    assert not {"ENTRYPOINT", "HEALTHCHECK"} & {word for word, _ in last}
    assert last[-1] == ("CMD", '["arcadia", "--help"]')
    assert any(
        re.search(r"apt-get install .*\bwget\b", rest) for word, rest in last if word == "RUN"
    )
    environment = " ".join(rest for word, rest in last if word == "ENV")
    assert {"RAY_AUTH_MODE=token", "RAY_JOB_STOP_WAIT_TIME_S=120"} <= set(environment.split())
    assert "PATH=" not in environment  # a login shell would not know of it


def test_all_that_pip_installs_is_pinned():
    installs = []
    for word, rest in instructions():
        if word == "RUN":
            installs += [part for part in rest.split("&&") if "pip install" in part]
    assert len(installs) == 4
    for command in installs:
        words = shlex.split(command[command.index("pip install") :])
        from_constraints = any(word.endswith("constraints.txt") for word in words)
        from_grep = "--no-deps" in words and any("grep '^torch=='" in word for word in words)
        own_wheel = "--no-deps" in words and words[-1].endswith("arcadia-*.whl")
        assert from_constraints or from_grep or own_wheel, command
        assert "--no-cache-dir" in words, command
    (torch,) = [command for command in installs if "--index-url" in command]
    assert "download.pytorch.org/whl/${ACCELERATOR}" in torch
    assert "[dev]" not in TEXT and "[bench]" not in TEXT


def test_torch_comes_before_what_would_bring_another_build_of_it():
    order = [rest for word, rest in stages()[-1] if word == "RUN"]
    torch = next(i for i, rest in enumerate(order) if "ACCELERATOR" in rest)
    others = next(i for i, rest in enumerate(order) if "requirements.txt" in rest)
    assert torch < others


def test_its_head_and_the_guide_build_the_images_of_the_manifests():
    guide = (ROOT / "docs" / "cluster.md").read_text()
    for build in ("cpu", "cu130"):
        assert f"-t arcadia:{__version__}-{build}" in TEXT
        assert f"-t REGISTRY/arcadia:{__version__}-{build}" in guide


def test_the_context_holds_what_is_copied_and_nothing_else():
    lines = (ROOT / ".dockerignore").read_text().split("\n")
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    allowed = {rule[1:] for rule in rules if rule.startswith("!")}
    mounted = {m for _, rest in instructions() for m in re.findall(r"bind,source=([^,]+)", rest)}
    assert allowed == set(copied()) | mounted
    assert all((ROOT / name).exists() for name in allowed)
    assert rules[-1] == "**/__pycache__"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.Path:
    """The wheel as the first stage makes it, from nothing but what is copied there."""
    context = tmp_path_factory.mktemp("context")
    for source, target in copied().items():
        (context / target).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / source).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / source, context / target, ignore=ignored)
        else:
            shutil.copy(ROOT / source, context / target)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"),
            *("--no-build-isolation", "--wheel-dir", "wheels", "."),
        ],
        cwd=context,
        env=os.environ | {"PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (made,) = (context / "wheels").iterdir()
    return zipfile.Path(made)


def test_the_wheel_has_all_code_and_what_it_reads(wheel: zipfile.Path):
    names = wheel.root.namelist()
    for name in (
        *("arcadia/cli.py", "arcadia/report_template.html.j2"),
        *("arcadia/assets/vgg16_oxford_fp16.safetensors", "algorithms/dqn/job.py"),
        *("pipelines/colorization/coloring/study_template.html.j2", "tune_configs/dqn_pong.py"),
    ):
        assert name in names, name
    for folder in ("platform/arcadia", "algorithms", "pipelines", "tune_configs"):
        base = ROOT / folder
        for path in base.rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                relative = path.relative_to(base.parent if folder == "platform/arcadia" else ROOT)
                assert relative.as_posix() in names
    assert not fnmatch.filter(names, "tests/*") and not fnmatch.filter(names, "platform/*")
    assert not fnmatch.filter(names, "*.pyc")


def test_the_wheel_brings_the_command_and_the_licences(wheel: zipfile.Path):
    info = wheel / f"arcadia-{__version__}.dist-info"
    assert "arcadia = arcadia.cli:main" in (info / "entry_points.txt").read_text()
    assert (info / "licenses" / "NOTICE").is_file() and (info / "licenses" / "LICENSE").is_file()


def test_dependencies_are_listed_as_the_image_lists_them(tmp_path: Path):
    (run,) = [rest for word, rest in instructions() if word == "RUN" and "import tomllib" in rest]
    target = tmp_path / "requirements.txt"
    command = run.replace("/wheels/requirements.txt", shlex.quote(str(target)))
    shell = f"PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH; {command}"
    subprocess.run(["sh", "-c", shell], cwd=ROOT, check=True)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert target.read_text().split("\n")[:-1] == project["dependencies"]
