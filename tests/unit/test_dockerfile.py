"""The image: pinned, nobody's root, and whole, as far as can be told without building it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.support import compose, image

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
HADOLINT = Path(sys.executable).with_name("hadolint")
_IMPORT_ALL = """
import json, pathlib, sys
for path in sorted(pathlib.Path().rglob("*.py")):
    module = ".".join(path.with_suffix("").parts).removesuffix(".__init__")
    if not module.endswith("__main__") and module.split(".")[0] in sys.argv[1:]:
        __import__(module)
"""
_IMPORT_SIMULATORS = """
import json, sys
from loadtest.__main__ import app_for
for name in sys.argv[1:]:
    app_for([name])
"""
_TELL = "print(json.dumps(sorted({name.split('.')[0] for name, module in sys.modules.items() if module is not None})))"
LOADED_ANYWAY = {"setuptools", "greenlet"}
"""Where an environment has them: by every interpreter, and by structlog, which asks for it and does without."""
SIMULATORS = sorted(
    service["command"][1]
    for service in compose.load((ROOT / "compose.yaml").read_text())["services"].values()
    if service.get("command", [""])[0] == "loadtest"
)
"""What compose.yaml runs of loadtest."""


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image's /app."""
    target = tmp_path_factory.mktemp("image") / "app"
    image.tree(DOCKERFILE, "waiting-room", ROOT, target)
    return target


@pytest.fixture(scope="module")
def simulators(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """/app of the simulators."""
    target = tmp_path_factory.mktemp("simulators") / "app"
    image.tree(DOCKERFILE, "simulators", ROOT, target)
    return target


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], cwd=folder, capture_output=True, text=True, env={})


def test_the_dockerfile_keeps_its_promises() -> None:
    assert image.offences(DOCKERFILE) == []


def test_the_last_stage_is_the_product() -> None:
    _, stages = image.stages(DOCKERFILE)
    assert list(stages)[-1] == "waiting-room"


def test_hadolint_finds_nothing() -> None:
    said = subprocess.run([HADOLINT, ROOT / "Dockerfile"], capture_output=True, text=True)
    assert (said.returncode, said.stdout) == (0, "")


@pytest.mark.parametrize(
    ("instead_of", "planted", "complaint"),
    [
        ("USER 10001:10001\n", "", "not as a numbered user"),
        ("USER 10001:10001", "USER 0:0", "not as a numbered user"),
        ("USER 10001:10001", "USER root", "not as a numbered user"),
        ("@${PYTHON_DIGEST} AS product", " AS product", "not an official image pinned"),
        ("FROM python:${PYTHON_TAG}", "FROM registry.example/python:${PYTHON_TAG}", "not an official image pinned"),
        ("PYTHON_DIGEST=sha256:", "PYTHON_DIGEST=latest", "PYTHON_DIGEST is no digest"),
        (" --require-hashes", "", "no hash pins"),
        (" --only-binary :all:", "", "no hash pins"),
        ("STOPSIGNAL SIGTERM", "RUN apt-get install curl", "fetches something else"),
        ("STOPSIGNAL SIGTERM", "ADD https://example.org/a.tar /", "use COPY"),
        ("STOPSIGNAL SIGTERM", "RUN touch /app/mark", "not only copied"),
        ("PYTHONDONTWRITEBYTECODE=1", "PYTHONHASHSEED=1", "read-only root"),
    ],
)
def test_a_mistake_is_found(instead_of: str, planted: str, complaint: str) -> None:
    assert instead_of in DOCKERFILE
    assert complaint in "\n".join(image.offences(DOCKERFILE.replace(instead_of, planted)))


@pytest.mark.parametrize(
    "command",
    [["ingress"], ["waiting_room", "config"], ["workers", "all", "--help"]],
    ids=" ".join,
)
def test_every_program_is_in_the_image(product: Path, command: list[str]) -> None:
    # Ingress has no --help: that it complains of its settings shows that all of it could be loaded.
    status = 2 if command == ["ingress"] else 0
    done = run(product, "-m", *command)
    assert done.returncode == status, done.stderr


@pytest.mark.parametrize("command", SIMULATORS)
def test_every_simulator_is_in_its_image(simulators: Path, command: str) -> None:
    done = run(simulators, "-m", "loadtest", command, "--help")
    assert done.returncode == 0, done.stderr


def test_the_image_installs_all_that_the_product_imports(product: Path) -> None:
    """And needs nothing of development's packages, which a test's interpreter has too."""
    programs = [path.name for path in product.iterdir()]
    assert not imported(product, _IMPORT_ALL, *programs) - pinned("waiting-room")


def test_their_image_installs_all_that_simulators_import(simulators: Path) -> None:
    assert not imported(simulators, _IMPORT_SIMULATORS, *SIMULATORS) - pinned("simulators")


def pinned(stage: str) -> set[str]:
    """Packages in the image of ``stage``."""
    files = [(ROOT / name).read_text() for name in image.requirements(DOCKERFILE, stage)]
    assert files
    return {_normal(name) for text in files for name in re.findall(r"^([\w.-]+)==", text, re.M)}


def imported(folder: Path, code: str, *arguments: str) -> set[str]:
    """Packages that are loaded after ``code``."""
    done = run(folder, "-c", code + _TELL, *arguments)
    assert done.returncode == 0, done.stderr
    distributions = packages_distributions()
    return {
        _normal(name) for module in json.loads(done.stdout) for name in distributions.get(module, ())
    } - LOADED_ANYWAY


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_context_leaves_everything_out_but_what_is_copied() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"
    let_in = {line[1:] for line in lines if line.startswith("!")}
    _, stages = image.stages(DOCKERFILE)
    copied = {
        source
        for stage in stages.values()
        for value in stage.values("COPY")
        if not value.startswith("--from=")
        for source in value.split()[:-1]
    }
    assert let_in == copied
