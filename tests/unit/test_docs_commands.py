"""What pages tell a reader to type or to follow: commands, options, settings, targets, links. Each is looked up."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.core import TyperGroup

from devstack.__main__ import app as devstack
from loadtest.__main__ import app_for
from loadtest.bench.command import BENCHMARKS
from waiting_room.cli.app import app as waiting_room
from waiting_room.settings import PREFIX, Settings

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    page
    for page in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "dashboards").rglob("*.md"))
    if page.name != "CHANGELOG.md"
)
PROGRAMS = {"waiting_room": waiting_room, "devstack": devstack, "loadtest": app_for([])}
GROUPS = ("archive", "directory", "dlq", "keys", "notifications", "patients", "webhooks")
"""Of commands, which pages name without the program before them."""
_FENCE = re.compile(r"```.*?```", re.DOTALL)


def identify(page: Path) -> str:
    return str(page.relative_to(ROOT))


def headings(page: Path) -> set[str]:
    """As GitHub names them in addresses."""
    titles = re.findall(r"^#+ (.*)$", _FENCE.sub("", page.read_text()), re.MULTILINE)
    plain = (re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", title).replace("`", "").lower() for title in titles)
    return {re.sub(r"[^\w\- ]", "", title).replace(" ", "-") for title in plain}


def lines(page: Path) -> Iterator[str]:
    """Of code, in blocks and among words."""
    text = page.read_text()
    for block in _FENCE.findall(text):
        yield from block.replace("\\\n", " ").splitlines()
    for words in re.findall(r"`([^`]+)`", _FENCE.sub("", text)):
        yield " ".join(words.split())


def commands(page: Path) -> Iterator[tuple[str, list[str]]]:
    """(program, words behind it) of every command."""
    for line in lines(page):
        for program, rest in re.findall(rf"python -m ({'|'.join(PROGRAMS)})\b([^#&|;]*)", line):
            yield program, shlex.split(rest.replace("[", "").replace("]", ""))
        if short := re.fullmatch(rf"(?:{'|'.join(GROUPS)}) [a-z][\w .:/=-]*", line):
            yield "waiting_room", shlex.split(short[0])


@pytest.mark.parametrize("page", PAGES, ids=identify)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", _FENCE.sub("", page.read_text())):
        if link.startswith(("https://", "http://")):
            continue
        path, _, heading = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not heading or heading in headings(target), link


@pytest.mark.parametrize("page", PAGES, ids=identify)
def test_commands_and_their_options_are_there(page: Path) -> None:
    for program, words in commands(page):
        found = typer.main.get_command(PROGRAMS[program])
        while isinstance(found, TyperGroup) and words and not words[0].startswith("-"):
            word = words.pop(0)
            if not word[0].islower():
                break  # a placeholder
            assert word in found.commands, f"python -m {program} … {word}"
            found = found.commands[word]
        options = {option for parameter in found.params for option in parameter.opts} | {"--help"}
        assert {word for word in words if word.startswith("-")} <= options, f"python -m {program} … {words}"


@pytest.mark.parametrize("page", PAGES, ids=identify)
def test_settings_targets_and_benchmarks_are_there(page: Path) -> None:
    text = page.read_text()
    settings = {PREFIX + name.upper() for name in Settings.model_fields}
    assert set(re.findall(r"WAITING_ROOM_[A-Z_]*[A-Z]\b(?!\*)", text)) <= settings
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    typed = {name for line in lines(page) for name in re.findall(r"(?:^|\()make (?:-s )?([a-z-]+)", line)}
    assert typed <= targets
    assert set(re.findall(r"\bB=([a-z-]+)", text)) <= set(BENCHMARKS)


@pytest.mark.parametrize("page", sorted((ROOT / "docs" / "runbooks").glob("*.md")), ids=lambda page: page.stem)
def test_a_runbook_names_boards_and_panels_that_are_there(page: Path) -> None:
    boards = "".join(each.read_text() for each in (ROOT / "dashboards" / "json").glob("*.json"))
    text = " ".join(page.read_text().split())
    named = re.findall(r"\*([A-Z][A-Za-z ]+)\*", text) + re.findall(r'"([A-Z][^"`]*[a-z])"', text)
    assert [name for name in named if name not in boards] == []
