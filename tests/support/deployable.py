"""``python -m tests.support.deployable``: compose.yaml and each overlay of deploy/, against the schemas of those that
read them (compose, Kubernetes, KEDA; what they do not know is a mistake) and against our own code.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from tests.support import compose, manifests
from tests.support.kustomize import render

ROOT = Path(__file__).parents[2]


def mistakes(root: Path) -> Iterator[str]:
    """One line each, with the file or the overlay that it is in."""
    yield from (
        f"compose.yaml: {wrong}" for wrong in compose.offences(compose.load((root / "compose.yaml").read_text()))
    )
    for overlay in sorted((root / "deploy/overlays").iterdir()):
        yield from (f"{overlay.relative_to(root)}: {wrong}" for wrong in manifests.offences(render(overlay)))


def main(root: Path = ROOT) -> int:
    """Its exit status."""
    found = list(mistakes(root))
    for line in found:
        sys.stdout.write(f"{line}\n")
    if not found:
        overlays = ", ".join(sorted(path.name for path in (root / "deploy/overlays").iterdir()))
        sys.stdout.write(f"Deployable: compose.yaml; overlays {overlays}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
