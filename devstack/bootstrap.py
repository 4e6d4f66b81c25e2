"""Makes a fresh checkout ready to run: `python3 -m devstack.bootstrap`, which every target of the Makefile does.

Needs Python 3.11 and, the first time, a network; installs nothing outside `.venv` and the cache folder.
Standard library only. A second run sees from a stamp that nothing changed; one that was interrupted is run again.
"""

import hashlib
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

_OLDEST = (3, 11)
if sys.version_info < _OLDEST:
    sys.exit("Waiting Room needs Python 3.11 or newer; if you have one: make PYTHON=python3.12 ...")

from devstack.cache import exclusive  # noqa: E402 - parses on newer Pythons only
from devstack.uv import UvUnavailable, find_or_install_uv, uv_environment  # noqa: E402

ROOT = Path(__file__).parents[1]
_REQUIREMENTS = ROOT / "requirements" / "dev.txt"
_INPUTS = (_REQUIREMENTS, ROOT / "requirements" / "uv.txt", ROOT / "devstack" / "kafka-jars.sha256")
_VENV = ROOT / ".venv"
_VENV_PYTHON = _VENV / "bin" / "python"
_STAMP = _VENV / ".ready"
_STEPS = 4


def main() -> int:
    """Returns the exit code; a failure has then been explained in a line of its own."""
    if _is_ready():
        _STAMP.touch()  # make goes by the time of the files; a checkout renews it without changing them
        return 0
    run_folder = ROOT / ".run"
    run_folder.mkdir(exist_ok=True)
    try:
        with exclusive(run_folder / "bootstrap.lock", on_wait=lambda: _say("waiting for another bootstrap")):
            if not _is_ready():
                _bootstrap()
    except UvUnavailable as error:
        return _fail(str(error))
    except subprocess.CalledProcessError as error:
        return _fail(f"`{_readable(error.cmd)}` failed (see above). Running it again continues where it stopped.")
    except KeyboardInterrupt:
        return _fail("interrupted. Running it again continues where it stopped.")
    return 0


def _bootstrap() -> None:
    _STAMP.unlink(missing_ok=True)
    _step(1, "uv, which installs the rest")
    uv = find_or_install_uv(ROOT / "requirements" / "uv.txt")
    _step(2, "Python packages into .venv (300 MB with Java and PostgreSQL)")
    _install_packages(uv)
    _step(3, "Apache Kafka (45 MB, kept for other checkouts)")
    _run([_VENV_PYTHON, "-m", "devstack.jars"])
    _step(4, "preparing Kafka's classes for faster starts (15 s, once on this machine)")
    _run([_VENV_PYTHON, "-m", "devstack.kafka_prepare"])
    _STAMP.write_text(_key())
    _say("ready")


def _install_packages(uv: Path) -> None:
    environment = uv_environment()
    if not _venv_fits():
        _run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, _VENV], environment)
    sync = [str(uv), "pip", "sync", "--require-hashes", "--python", str(_VENV_PYTHON), str(_REQUIREMENTS)]
    cached = subprocess.run([*sync, "--offline", "--quiet"], cwd=ROOT, env=environment, capture_output=True)
    if cached.returncode != 0:  # uv would ask the index even for what it has
        quiet = [] if sys.stderr.isatty() else ["--quiet"]
        _run([*sync, *quiet], environment)


def _is_ready() -> bool:
    try:
        return _STAMP.read_text() == _key() and _VENV_PYTHON.exists()
    except FileNotFoundError:
        return False


def _key() -> str:
    """Changes with whatever would make `.venv` or the jars different."""
    digest = hashlib.sha256(f"{sys.implementation.name} {sys.version}".encode())
    for file in _INPUTS:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _venv_fits() -> bool:
    """Whether `.venv` has this very Python; a broken one or one left half made does not."""
    question = "import sys; print(sys.implementation.name, sys.version)"
    try:
        answer = subprocess.run([_VENV_PYTHON, "-c", question], capture_output=True, text=True)
    except OSError:
        return False
    return answer.stdout.strip() == f"{sys.implementation.name} {sys.version}"


def _run(command: Sequence[str | Path], environment: dict[str, str] | None = None) -> None:
    subprocess.run(command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, check=True)


def _readable(command: Sequence[str | Path]) -> str:
    return " ".join([Path(command[0]).name, *map(str, command[1:])]).replace(f"{ROOT}{os.sep}", "")


def _step(number: int, what: str) -> None:
    _say(f"[{number}/{_STEPS}] {what}")


def _say(line: str) -> None:
    print(f"bootstrap: {line}", file=sys.stderr, flush=True)


def _fail(line: str) -> int:
    _say(line)
    return 1


if __name__ == "__main__":
    sys.exit(main())
