"""The settings of what is kept how long in the database, a part of ``Settings``."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings


class StorageSettings(BaseSettings):
    claims_keep_days: int = Field(
        35,
        ge=7,
        le=36_500,
        description="So long after a month's last day its seat claims are detached and put away.",
    )
    claims_drop_days: int = Field(
        400, ge=7, le=36_500, description="So long after a month's last day what was put away of it is dropped."
    )

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
    def _put_away_before_it_is_dropped(self) -> Self:
        if self.claims_drop_days < self.claims_keep_days:
            raise ValueError("claims_drop_days must not be less than claims_keep_days")
        return self

    @model_validator(mode="after")
    def _archived_before_it_is_put_away(self) -> Self:
        if self.archive_keep_days < self.archive_after_days:
            raise ValueError("archive_keep_days must not be less than archive_after_days")
        return self
