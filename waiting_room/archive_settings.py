"""The settings of what becomes of bookings that are over, a part of ``Settings``."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings


class ArchiveSettings(BaseSettings):
    archive_after_days: int = Field(
        30,
        # store.archived.YOUNGEST_DAYS
        ge=8,
        le=36_500,
        description="A booking is archived when it was over, and nothing has happened to it, for so long.",
    )
    archive_keep_days: int = Field(
        3_650,
        ge=30,
        le=36_500,
        description="So long after a month's last day its archived bookings are detached and put away.",
    )

    @model_validator(mode="after")
    def _archived_before_it_is_put_away(self) -> Self:
        if self.archive_keep_days < self.archive_after_days:
            raise ValueError("archive_keep_days must not be less than archive_after_days")
        return self
