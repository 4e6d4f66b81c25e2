"""The recording rules and alerts as they stand in ``dashboards/rules``."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import yaml

HERE = Path(__file__).parent
FILES = tuple(sorted((HERE / "rules").glob("*.yaml")))
TESTS = tuple(sorted((HERE / "rules" / "tests").glob("*.yaml")))


class Rule(NamedTuple):
    """``alert``: whether it is one, or records a series of its name."""

    name: str
    expr: str
    alert: bool
    annotations: dict[str, str]
    labels: dict[str, str]


def rules() -> list[Rule]:
    """All of them, in the order of the files."""
    return [
        Rule(
            each.get("alert") or each["record"],
            each["expr"],
            "alert" in each,
            each.get("annotations", {}),
            each.get("labels", {}),
        )
        for file in FILES
        for group in yaml.safe_load(file.read_text())["groups"]
        for each in group["rules"]
    ]
