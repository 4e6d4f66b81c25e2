"""The settings of live streams, a part of ``Settings``."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings


class StreamSettings(BaseSettings):
    ingress_streams_max: int = Field(
        5_000,
        ge=1,
        le=1_000_000,
        description="Live streams one ingress carries at once, or half of the files it may open if that is less; "
        "beyond: 503.",
    )
    ingress_streams_caller_max: int = Field(
        4_000,
        ge=1,
        le=1_000_000,
        description="Of these, at most of one app, clinic or operator, and of one patient's pass 8; beyond: 429.",
    )
