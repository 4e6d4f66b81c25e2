"""Packages of JavaScript that tests verify with: pinned, checked, and unpacked where node finds them.

npm only fetches (and keeps what it fetched); what is unpacked has the hash that stands here.
"""

from __future__ import annotations

import base64
import hashlib
import subprocess
import tarfile
from pathlib import Path

from devstack.cache import cache_folder, exclusive

PINNED = {
    "standardwebhooks@1.1.1": "bCbX9ZEyFkWPsRz7Bl3NuQUJohmwGSev/yhr7vhaGPlc4AfIrspIRa6cPTBuI1ItmrTDJ4d/S2hCsfe4+vQGnQ==",  # noqa: E501
    "@stablelib/base64@1.0.1": "1bnPQqSxSuc3Ii6MhBysoWCg58j97aUjuCSZrGSmDxNqtytIi0k8utUenAwTZN4V5mXXYGsVUI9zeBqy+jBOSQ==",  # noqa: E501
    "fast-sha256@1.3.0": "n11RGP/lrWEFI/bWdygLxhI+pVeo1ZYIVwvvPkW7azl/rOy+F3HYRZ2K5zeE9mmkhQppyv9sQFx0JM9UabnpPQ==",
}
"""SHA-512 of each archive, as the registry's ``integrity`` gives it."""


def node_modules() -> Path:
    """A folder with a ``node_modules`` that holds the pinned packages; fetched when first asked for."""
    names = hashlib.sha256("".join(f"{name}{digest}" for name, digest in PINNED.items()).encode()).hexdigest()
    folder = cache_folder() / "npm" / names[:16]
    folder.mkdir(parents=True, exist_ok=True)
    with exclusive(folder / "lock"):
        if not (folder / "complete").exists():
            for name, digest in PINNED.items():
                _unpack(_fetched(folder, name), digest, folder / "node_modules" / name.rpartition("@")[0])
            (folder / "complete").touch()
    return folder


def _fetched(folder: Path, name: str) -> Path:
    command = ["npm", "pack", name, "--pack-destination", str(folder), "--silent", "--ignore-scripts"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / done.stdout.strip().splitlines()[-1]


def _unpack(archive: Path, digest: str, target: Path) -> None:
    found = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    assert found == digest, f"{archive.name} is not what was pinned"
    with tarfile.open(archive) as tar:
        for member in tar.getmembers():
            inside = Path(*Path(member.name).parts[1:])
            assert member.isfile() or member.isdir()
            assert ".." not in inside.parts
            if member.isfile() and (content := tar.extractfile(member)) is not None:
                (target / inside).parent.mkdir(parents=True, exist_ok=True)
                (target / inside).write_bytes(content.read())
