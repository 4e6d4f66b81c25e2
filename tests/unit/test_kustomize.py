"""Our small renderer of kustomizations makes what kustomize makes, and refuses what it does not know."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.kustomize import NotKnown, Object, normal, render

CASE = Path(__file__).parent / "kustomize"
OVERLAYS = sorted((Path(__file__).parents[2] / "deploy/overlays").iterdir())
KUSTOMIZE = shutil.which("kustomize")


def in_order(objects: list[Object]) -> list[Any]:
    return sorted((normal(each) for each in objects), key=lambda each: (each["kind"], each["metadata"]["name"]))


def test_a_case_of_all_it_knows_comes_out_as_from_kustomize() -> None:
    """expected.yaml: ``kustomize build tests/unit/kustomize/overlay``, of kustomize v5.8.0."""
    expected = list(yaml.safe_load_all((CASE / "expected.yaml").read_text()))
    assert in_order(render(CASE / "overlay")) == in_order(expected)


@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda overlay: overlay.name)
def test_each_overlay_comes_out_as_from_kustomize_where_there_is_one(overlay: Path) -> None:
    ours = in_order(render(overlay))
    if KUSTOMIZE is not None:
        built = subprocess.run([KUSTOMIZE, "build", overlay], capture_output=True, text=True, check=True).stdout
        assert ours == in_order(list(yaml.safe_load_all(built)))
    assert ours


@pytest.mark.parametrize(
    ("file", "instead_of", "planted", "complaint"),
    [
        ("overlay", "namespace: somewhere", "namePrefix: a-", "namePrefix"),
        ("overlay", "behavior: merge", "options: {}", "configMapGenerator"),
        ("overlay", "op: replace", "op: add", "op: add"),
        ("overlay", "metadata/query", "metadata/quarry", "nothing to replace"),
        ("base", "kind: Job", "kind: CronJob", "a patch for nothing"),
        ("base", "labelSelector: colour=red", "annotationSelector: colour=red", "target: kind, annotationSelector"),
    ],
)
def test_what_it_does_not_know_it_refuses(
    file: str, instead_of: str, planted: str, complaint: str, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(CASE, tmp_path / "case"))
    changed = copy / file / "kustomization.yaml"
    assert instead_of in changed.read_text()
    changed.write_text(changed.read_text().replace(instead_of, planted))
    with pytest.raises(NotKnown, match=complaint):
        render(copy / "overlay")
