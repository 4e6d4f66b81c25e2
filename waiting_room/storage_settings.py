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

    @model_validator(mode="after")
    def _put_away_before_it_is_dropped(self) -> Self:
        if self.claims_drop_days < self.claims_keep_days:
            raise ValueError("claims_drop_days must not be less than claims_keep_days")
        return self
