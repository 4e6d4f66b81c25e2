"""Reads named statements from the ``.sql`` files beside it: ``-- name --`` on a line of its own starts one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

_HEADING = re.compile(r"^-- ([a-z_]+) --$", re.MULTILINE)


def load(name: str) -> Mapping[str, str]:
    """Statement texts of ``queries/<name>.sql`` by name. Raises ValueError on a name given twice."""
    text = (Path(__file__).parent / "queries" / f"{name}.sql").read_text()
    parts = _HEADING.split(text)[1:]
    names, bodies = parts[::2], parts[1::2]
    if len(set(names)) != len(names):
        raise ValueError(f"{name}.sql names a statement twice")
    return MappingProxyType({name: body.strip() for name, body in zip(names, bodies, strict=True)})
