"""Finds uv, or installs the pinned one into the cache folder. Standard library only."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from devstack.cache import cache_folder, exclusive


class UvUnavailable(RuntimeError):
    """There is no uv and no way to get one; the message says what to install."""


def find_or_install_uv(requirements: Path) -> Path:
    """The uv on PATH if it works, else one from the cache folder, installed first with pip when missing.

    `requirements` pins it by hash. Raises UvUnavailable.
    """
    on_path = shutil.which("uv")
    if on_path and _works(Path(on_path)):
        return Path(on_path)
    digest = hashlib.sha256(requirements.read_bytes()).hexdigest()
    folder = cache_folder() / f"uv-{digest[:16]}"
    uv = folder / "bin" / "uv"
    with exclusive(cache_folder() / "uv.lock"):
        if not _works(uv):
            _install(requirements, folder)
    if not _works(uv):
        raise UvUnavailable("the uv that pip installed does not run here; install uv by hand and try again")
    return uv


def uv_environment() -> dict[str, str]:
    """This environment, with pip's index and certificates for uv too, where uv has not been told its own."""
    environment = dict(os.environ)
    for pip_name, uv_name in (
        ("PIP_INDEX_URL", "UV_DEFAULT_INDEX"),
        ("PIP_EXTRA_INDEX_URL", "UV_INDEX"),
        ("PIP_CERT", "SSL_CERT_FILE"),
    ):
        if pip_name in environment:
            environment.setdefault(uv_name, environment[pip_name])
    environment.setdefault("UV_HTTP_TIMEOUT", "120")
    environment.pop("VIRTUAL_ENV", None)
    return environment


def _works(uv: Path) -> bool:
    """A shim of a version manager may be on PATH with nothing behind it."""
    try:
        return subprocess.run([uv, "--version"], capture_output=True).returncode == 0
    except OSError:
        return False


def _install(requirements: Path, folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="uv-install-") as scratch:
        unfinished = Path(scratch) / "uv"
        command = [*_pip(Path(scratch)), "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--no-input", "--root-user-action", "ignore", "--only-binary", ":all:"]
        command += ["--require-hashes", "--target", str(unfinished), "-r", str(requirements)]
        try:
            subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        except subprocess.CalledProcessError as error:
            raise UvUnavailable("pip could not install uv (see above); install uv by hand and try again") from error
        shutil.rmtree(folder, ignore_errors=True)
        unfinished.rename(folder)


def _pip(scratch: Path) -> list[str]:
    """pip of this Python, else the one that a virtual environment brings along."""
    here = [sys.executable, "-m", "pip"]
    if subprocess.run([*here, "--version"], capture_output=True).returncode == 0:
        return here
    with_pip = scratch / "with-pip"
    made = subprocess.run([sys.executable, "-m", "venv", with_pip], capture_output=True)
    if made.returncode != 0:
        raise UvUnavailable("install uv, or pip for this Python (on Debian: apt install python3-pip), and try again")
    return [str(with_pip / "bin" / "python"), "-m", "pip"]
