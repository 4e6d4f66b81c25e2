"""Points in time that are typed."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import typer

from waiting_room.cli.moment import EXAMPLE, moment


def test_the_example_is_one() -> None:
    assert moment(EXAMPLE) == datetime(2027, 1, 31, tzinfo=UTC)
    assert moment("2027-01-31T01:00+01:00") == moment(EXAMPLE)


@pytest.mark.parametrize("text", ["tomorrow", "2027-01-31", "2027-01-31T00:00:00", "0001-01-01T00:00+14:00", ""])
def test_who_types_something_else_is_shown_it(text: str) -> None:
    with pytest.raises(typer.BadParameter, match=EXAMPLE):
        moment(text)
