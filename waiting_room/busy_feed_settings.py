"""The settings of calendars that clinics subscribe providers to, a part of ``Settings``."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings


class BusyFeedSettings(BaseSettings):
    busy_feed_seconds: float = Field(
        900.0, gt=0, le=86_400, description="How often a calendar that a provider was subscribed to is read."
    )
    busy_feed_timeout_seconds: float = Field(
        20.0, gt=0, le=60, description="Deadline of fetching one such calendar, all in all."
    )
    busy_feed_max_bytes: int = Field(
        2_097_152, ge=1_024, le=16_777_216, description="The longest such calendar, unpacked."
    )
