"""Messages: what was ever written is read for ever, and bytes that are no message raise Unreadable and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from waiting_room.messages import (
    UPGRADES,
    VERSIONS,
    AccessKey,
    BookingEvent,
    Cancel,
    Command,
    Confirmation,
    DirectoryEntry,
    IntakeKeyRecord,
    Message,
    PulseRecord,
    Reader,
    Unreadable,
    encode,
)

GOLDEN = sorted((Path(__file__).parents[1] / "contract" / "messages").glob("*.json"))
KINDS: Mapping[str, Any] = {
    "book": Command,
    "cancel": Command,
    "reschedule": Command,
    "closure": Command,
    "shortage": Command,
    "probe": Command,
    "moved": Command,
    "confirmation": Confirmation,
    "event": BookingEvent,
    "pulse": PulseRecord,
    "map_report": PulseRecord,
    "clinic": DirectoryEntry,
    "access_key": AccessKey,
    "intake_key": IntakeKeyRecord,
}
"""How each type is read where it is read."""

read: Reader[Command] = Reader(Command)
CANCEL = next(path for path in GOLDEN if path.stem == "cancel.v1").read_bytes()


def reader_of(tag: str) -> Reader[Message]:
    return Reader(KINDS[tag])


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_every_record_that_was_ever_written_is_read(path: Path) -> None:
    tag = path.stem.partition(".")[0]
    message = reader_of(tag)(path.read_bytes())
    assert message.v == VERSIONS[tag]
    assert reader_of(tag)(encode(message)) == message


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_nothing_a_record_of_this_version_says_is_lost(path: Path) -> None:
    tag, version, *_ = path.stem.split(".")
    if version != f"v{VERSIONS[tag]}":
        return
    written = msgspec.json.decode(path.read_bytes())
    rewritten = msgspec.json.decode(encode(reader_of(tag)(path.read_bytes())))
    assert _within(written, rewritten)


def _within(part: Any, whole: Any) -> bool:
    """Whether ``whole`` says all that ``part`` does, up to how a time is written."""
    if isinstance(part, dict):
        return all(_within(value, whole.get(name)) for name, value in part.items())
    if isinstance(part, list):
        return len(part) == len(whole) and all(map(_within, part, whole))
    return bool(part == whole) or _plain_time(part) == _plain_time(whole)


def _plain_time(text: Any) -> Any:
    return text.replace("Z", "").rstrip("0").rstrip(".") if isinstance(text, str) and ":" in text else text


def test_every_version_of_every_type_has_a_golden_record() -> None:
    there = {tuple(path.stem.split(".")[:2]) for path in GOLDEN}
    assert there == {(tag, f"v{v}") for tag, newest in VERSIONS.items() for v in range(1, newest + 1)}


def test_every_version_but_the_newest_has_an_upgrade() -> None:
    assert set(UPGRADES) == {(tag, v) for tag, newest in VERSIONS.items() for v in range(1, newest)}


def test_an_older_version_is_upgraded_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(VERSIONS, "cancel", 3)
    monkeypatch.setitem(UPGRADES, ("cancel", 1), lambda old: {**_without(old, "asked_for"), "app": old["asked_for"]})
    monkeypatch.setitem(UPGRADES, ("cancel", 2), lambda old: {**_without(old, "app"), "app_id": old["app"]})
    first = msgspec.json.decode(CANCEL)
    first["asked_for"] = first.pop("app_id")
    cancel = read(msgspec.json.encode(first))
    assert isinstance(cancel, Cancel)
    assert (cancel.app_id, cancel.v) == ("petcare", 3)
    second = {**_without(first, "asked_for"), "app": "petcare", "v": 2}
    assert read(msgspec.json.encode(second)) == cancel
    with pytest.raises(Unreadable, match="cancel version 1 cannot be upgraded: KeyError"):
        read(CANCEL)


def _without(record: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key != name}


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (None, "the record has no value"),
        (b"", "truncated"),
        (b"nonsense", "malformed"),
        (b"[1, 2]", "not a JSON object"),
        (b'{"type": "book"}', "missing required field"),
        (b'{"type": "teleport"}', "unknown type 'teleport'"),
        (b'{"type": 7}', "unknown type 7"),
        (b"{}", "unknown type None"),
        (b'{"type": "probe", "sent_by": 7}', r"Expected `str`, got `int` - at `\$.sent_by`"),
        (b'{"type": "probe", "sent_by": "x", "v": 2}', "probe version 2 is not one of 1 to 1"),
        (b'{"type": "probe", "sent_by": "x", "v": 0}', "probe version 0"),
        (b'{"type": "probe", "sent_by": "x", "v": "1"}', "probe version '1'"),
        (b'{"type": "probe", "sent_by": "\xff"}', "utf-8"),
        (b'{"type": "teleport", "sent_by": "\xff"}', "utf-8"),
        (b"[" * 100_000, "recursion"),
        (b'{"type": "probe", "x": ' + b"[" * 100_000, "recursion"),
        (CANCEL.replace(b"08:05:00Z", b"08:05:00"), r"timezone component - at `\$.requested_at`"),
        (CANCEL.replace(b'"type": "cancel"', b'"type": "confirmation"'), "Invalid value 'confirmation'"),
    ],
)
def test_what_cannot_be_read_says_why(raw: bytes | None, reason: str) -> None:
    with pytest.raises(Unreadable, match=f"(?i){reason}") as error:
        read(raw)
    assert "\n" not in str(error.value)


@given(st.binary(max_size=200))
def test_no_bytes_do_worse_than_being_unreadable(raw: bytes) -> None:
    _read_or_refuse(raw)


@given(
    st.sampled_from([path.read_bytes() for path in GOLDEN]),
    st.lists(st.tuples(st.integers(0, 5_000), st.integers(0, 255)), max_size=3),
    st.integers(0, 5_000),
)
def test_no_damaged_record_does_worse_than_being_unreadable(
    raw: bytes, damage: list[tuple[int, int]], length: int
) -> None:
    damaged = bytearray(raw)
    for at, value in damage:
        damaged[at % len(damaged)] = value
    _read_or_refuse(bytes(damaged[: length or None]))


def _read_or_refuse(raw: bytes) -> None:
    for tag in VERSIONS:
        with suppress(Unreadable):
            encode(reader_of(tag)(raw))
