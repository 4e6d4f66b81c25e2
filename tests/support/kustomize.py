"""Renders an overlay of deploy/ as kustomize does, for as much of kustomize as deploy/ uses; the rest is an error.

So that manifests are checked on machines without kustomize. tests/unit/test_kustomize.py holds it against what the real
one made of a small case, and against the real one itself where it is installed.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

Object = dict[str, Any]
_KNOWN = {
    "apiVersion",
    "kind",
    "resources",
    "namespace",
    "configMapGenerator",
    "patches",
    "replicas",
    "images",
}
_MERGE_KEYS = {
    "containers": "name",
    "env": "name",
    "ports": "containerPort",
    "volumeMounts": "mountPath",
    "volumes": "name",
    "topologySpreadConstraints": "topologyKey",
}
"""Lists whose items a patch changes one by one; any other list is replaced whole."""
_AS_GO_WRITES = str.maketrans({letter: f"\\u{ord(letter):04x}" for letter in "<>&"})
_HASH_LETTERS = str.maketrans("013ae", "ghkmt")


class NotKnown(Exception):
    """Something kustomize may know and this does not."""


def render(folder: Path) -> list[Object]:
    """Every object that ``kustomize build FOLDER`` would print, in no particular order. Raises NotKnown."""
    objects = _build(folder)
    renamed = {}
    for each in objects:
        if each["kind"] == "ConfigMap" and each.pop("_generated", False):
            renamed[each["metadata"]["name"]] = f"{each['metadata']['name']}-{_hash(each)}"
            each["metadata"]["name"] = renamed[each["metadata"]["name"]]
    for each in objects:
        for container in containers(each):
            for source in container.get("envFrom", ()):
                if "configMapRef" in source:
                    name = source["configMapRef"]["name"]
                    source["configMapRef"]["name"] = renamed.get(name, name)
    return objects


def containers(workload: Object) -> list[Object]:
    """Of a Deployment, Job or CronJob; none of anything else."""
    found: list[Object] = template_of(workload).get("spec", {}).get("containers", [])
    return found


def template_of(workload: Object) -> Object:
    """What it makes its pods from; empty where it makes none."""
    spec = workload.get("spec")
    if not isinstance(spec, dict):
        return {}
    found: Object = (spec["jobTemplate"]["spec"] if workload["kind"] == "CronJob" else spec).get("template", {})
    return found


def normal(value: Any, key: str = "") -> Any:
    """With lists in one order where their order says nothing, so that two renderings can be compared."""
    if isinstance(value, dict):
        return {name: normal(item, name) for name, item in sorted(value.items())}
    if isinstance(value, list):
        items = [normal(item) for item in value]
        by = _MERGE_KEYS.get(key)
        return sorted(items, key=lambda item: str(item[by])) if by and all(by in item for item in items) else items
    return value


def _build(folder: Path) -> list[Object]:
    told = yaml.safe_load((folder / "kustomization.yaml").read_text())
    if unknown := told.keys() - _KNOWN:
        raise NotKnown(f"{folder.name}: {', '.join(sorted(unknown))}")
    objects: list[Object] = []
    for name in told.get("resources", ()):
        path = folder / name
        objects += _build(path) if path.is_dir() else list(yaml.safe_load_all(path.read_text()))
    for generator in told.get("configMapGenerator", ()):
        _generate(objects, folder, generator)
    for patch in told.get("patches", ()):
        _patch(objects, folder, patch)
    for each in objects:
        if "namespace" in told and each["kind"] != "Namespace":
            each["metadata"]["namespace"] = told["namespace"]
        for wanted in told.get("replicas", ()):
            if each["kind"] == "Deployment" and each["metadata"]["name"] == wanted["name"]:
                each["spec"]["replicas"] = wanted["count"]
        for container in containers(each):
            for image in told.get("images", ()):
                if container["image"].partition(":")[0].partition("@")[0] == image["name"]:
                    container["image"] = _image(image)
    return objects


def _image(image: dict[str, str]) -> str:
    name = image.get("newName", image["name"])
    return f"{name}@{image['digest']}" if "digest" in image else f"{name}:{image['newTag']}"


def _generate(objects: list[Object], folder: Path, generator: dict[str, Any]) -> None:
    if generator.keys() - {"name", "envs", "behavior"}:
        raise NotKnown(f"configMapGenerator: {', '.join(generator)}")
    data: dict[str, str] = {}
    for name in generator["envs"]:
        lines = (line.strip() for line in (folder / name).read_text().splitlines())
        data.update(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    if generator.get("behavior") == "merge":
        [there] = [each for each in _config_maps(objects) if each["metadata"]["name"] == generator["name"]]
        there["data"] |= data
        return
    objects.append(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": generator["name"]},
            "data": data,
            "_generated": True,
        }
    )


def _config_maps(objects: list[Object]) -> Iterator[Object]:
    return (each for each in objects if each["kind"] == "ConfigMap")


def _patch(objects: list[Object], folder: Path, patch: dict[str, Any]) -> None:
    if patch.keys() - {"path", "patch", "target"}:
        raise NotKnown(f"patches: {', '.join(patch)}")
    content = yaml.safe_load((folder / patch["path"]).read_text() if "path" in patch else patch["patch"])
    changed = [each for each in objects if _is_target(each, patch["target"])]
    if not changed:
        raise NotKnown(f"a patch for nothing: {patch['target']}")
    for each in changed:
        if isinstance(content, list):
            for operation in content:
                _operate(each, operation)
        else:
            ours = {key: value for key, value in content.items() if key not in ("apiVersion", "kind", "metadata")}
            _merge(each, ours)


def _is_target(each: Object, target: dict[str, str]) -> bool:
    if target.keys() - {"kind", "name", "labelSelector"}:
        raise NotKnown(f"target: {', '.join(target)}")
    label, _, value = target.get("labelSelector", "").partition("=")
    return (
        each["kind"] == target["kind"]
        and target.get("name", each["metadata"]["name"]) == each["metadata"]["name"]
        and (not label or each["metadata"].get("labels", {}).get(label) == value)
    )


def _operate(each: Object, operation: dict[str, Any]) -> None:
    """One step of a JSON patch: replacing what is there."""
    *way, last = operation["path"].lstrip("/").split("/")
    place: Any = each
    for step in way:
        place = place[int(step)] if isinstance(place, list) else place[step]
    key = int(last) if isinstance(place, list) else last
    if operation["op"] != "replace":
        raise NotKnown(f"op: {operation['op']}")
    if not isinstance(place, list) and key not in place:
        raise NotKnown(f"nothing to replace at {operation['path']}")
    place[key] = operation["value"]


def _merge(into: Object, patch: Object) -> None:
    """A strategic merge. ``patch`` is copied: it may be for several objects."""
    for key, value in patch.items():
        there = into.get(key)
        if key.startswith("$") or value is None:
            raise NotKnown(f"{key}: {value}")
        if isinstance(there, dict) and isinstance(value, dict):
            _merge(there, value)
        elif isinstance(there, list) and isinstance(value, list) and key in _MERGE_KEYS:
            _merge_list(there, value, _MERGE_KEYS[key])
        else:
            into[key] = copy.deepcopy(value)


def _merge_list(into: list[Object], patch: list[Object], by: str) -> None:
    there = {item[by]: item for item in into}
    for item in patch:
        if item[by] in there:
            _merge(there[item[by]], item)
        else:
            into.append(copy.deepcopy(item))


def _hash(config_map: Object) -> str:
    """What kustomize appends to a generated name, so that a change of content is a change of name."""
    what = {"kind": "ConfigMap", "name": "", "data": config_map["data"]}  # it looks for the name and finds none
    text = json.dumps(what, sort_keys=True, separators=(",", ":"), ensure_ascii=False).translate(_AS_GO_WRITES)
    return hashlib.sha256(text.encode()).hexdigest()[:10].translate(_HASH_LETTERS)
