"""Pages that are generated, or that show what the code reads, hold what the code does today."""

from __future__ import annotations

import re
from pathlib import Path

from waiting_room import onboarding
from waiting_room.cli.config import as_markdown, as_text
from waiting_room.settings import PREFIX, Settings

DOCS = Path(__file__).parents[2] / "docs"


def test_the_configuration_page_is_what_the_command_prints() -> None:
    page = (DOCS / "configuration.md").read_text()
    assert page == as_markdown(), "run: python -m waiting_room config --markdown > docs/configuration.md"


def test_every_setting_has_a_meaning() -> None:
    for name, field in Settings.model_fields.items():
        assert f"{PREFIX}{name.upper()}=" in as_text()
        assert field.description


def test_the_example_on_the_onboarding_page_can_be_imported() -> None:
    [example] = re.findall(r"```json\n(.*?)```", (DOCS / "onboarding.md").read_text(), re.DOTALL)
    assert onboarding.read(example.encode()).businesses[0].clinics[0].clinic_id == "0001"
