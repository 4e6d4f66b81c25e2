"""What the Dockerfile promises, read from its text, and the tree that it would put into the image."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

from dockerfile_parse import DockerfileParser

_NEEDS_A_SHELL = re.compile(r"\b(curl|wget|git clone|apt-get|apk)\b")
_NUMBER = re.compile(r"\d+:\d+")
_PINNED = re.compile(r"[a-z]+:\$\{[A-Z_]+\}@\$\{(?P<digest>[A-Z_]+)\}")
"""Of the official images: a host before the name would be somebody's registry."""


@dataclass
class Stage:
    """``base`` as FROM says it; ``steps``: its other instructions, in order."""

    name: str
    base: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def values(self, instruction: str) -> list[str]:
        return [value for name, value in self.steps if name == instruction]


def stages(dockerfile: str) -> tuple[dict[str, str], dict[str, Stage]]:
    """(global arguments and their defaults, stages by name)."""
    arguments: dict[str, str] = {}
    found: dict[str, Stage] = {}
    parser = DockerfileParser(fileobj=BytesIO(dockerfile.encode()))
    for step in parser.structure:
        instruction, value = step["instruction"], step["value"]
        if instruction == "FROM":
            base, _, name = value.partition(" AS ")
            current = Stage(name or str(len(found)), base)
            found[current.name] = current
        elif instruction == "ARG" and not found:
            name, _, default = value.partition("=")
            arguments[name] = default
        elif instruction != "COMMENT":
            current.steps.append((instruction, value))
    return arguments, found


def offences(dockerfile: str) -> list[str]:
    """What an image of ours must not do; one line each."""
    arguments, found = stages(dockerfile)
    wrong = []
    for stage in found.values():
        if stage.base in found:
            continue
        pinned = _PINNED.fullmatch(stage.base)
        if pinned is None:
            wrong.append(f"{stage.name}: {stage.base} is not an official image pinned by a digest argument")
        elif not re.fullmatch(r"sha256:[0-9a-f]{64}", arguments.get(pinned["digest"], "")):
            wrong.append(f"{stage.name}: {pinned['digest']} is no digest")
    for stage in found.values():
        wrong += [f"{stage.name}: ADD fetches and unpacks; use COPY" for _ in stage.values("ADD")]
        for command in stage.values("RUN"):
            if re.search(r"\bpip\b.* install ", command) and not {"--require-hashes", "--only-binary"} <= set(
                command.split()
            ):
                wrong.append(f"{stage.name}: installs what no hash pins: {command}")
            if _NEEDS_A_SHELL.search(command) or "http" in command:
                wrong.append(f"{stage.name}: fetches something else: {command}")
    *_, last = found.values()
    line = _line(last, found)
    users = [value for stage in line for value in stage.values("USER")]
    if not users or not _NUMBER.fullmatch(users[-1]) or users[-1].startswith("0:"):
        wrong.append(f"{last.name}: runs as {users[-1:] or 'root'}, not as a numbered user")
    if any(stage.values("RUN") for stage in line):
        wrong.append(f"{last.name}: is not only copied from what was built")
    if not any("PYTHONDONTWRITEBYTECODE=1" in value for stage in line for value in stage.values("ENV")):
        wrong.append(f"{last.name}: Python would write to a read-only root")
    return wrong


def tree(dockerfile: str, stage: str, context: Path, target: Path) -> None:
    """Lay out what COPY brings into /app of ``stage`` from ``context``, as a builder would."""
    _, found = stages(dockerfile)
    for each in _line(found[stage], found):
        for value in each.values("COPY"):
            if value.startswith("--from="):
                from_stage, source, _ = value.removeprefix("--from=").split()
                if source == "/app":
                    tree(dockerfile, from_stage, context, target)
                continue
            *sources, folder = value.split()
            for source in sources:
                if (context / source).is_dir():
                    shutil.copytree(
                        context / source, target / folder, ignore=shutil.ignore_patterns("__pycache__", "*.pyc")
                    )
                else:
                    (target / folder).mkdir(parents=True, exist_ok=True)
                    shutil.copy(context / source, target / folder)


def requirements(dockerfile: str, stage: str) -> list[str]:
    """The files whose packages are in the image of ``stage``."""
    _, found = stages(dockerfile)
    needed, named = [stage], list[str]()
    while needed:
        for each in _line(found[needed.pop()], found):
            for value in each.values("COPY"):
                first, *_ = value.split()
                if first.startswith("--from="):
                    needed.append(first.removeprefix("--from="))
                elif first.startswith("requirements/"):
                    named.append(first)
    return named


def _line(stage: Stage, found: dict[str, Stage]) -> list[Stage]:
    """The stages a stage is made of, the oldest first."""
    return [*(_line(found[stage.base], found) if stage.base in found else []), stage]
