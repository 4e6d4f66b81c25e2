"""The settings of the optional hot tier, a part of ``Settings``."""

from __future__ import annotations

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings


class HotTierSettings(BaseSettings):
    valkey_url: SecretStr | None = Field(
        None,
        description="Valkey or Redis that ingress and hold share: valkey://user:password@host:6379/0, or valkeys:// "
        "for TLS. Unset, there is no hot tier. One database of it for one PostgreSQL.",
    )
    valkey_within_ms: int = Field(
        10, ge=1, le=5_000, description="What is not read from it within this is had without it."
    )
    contested_within_ms: int = Field(
        100,
        ge=1,
        le=5_000,
        description="A time marked as taken is looked at for so long, then the booking is accepted as without a mark.",
    )

    @field_validator("valkey_url")
    @classmethod
    def _valkey(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and not url.get_secret_value().startswith(("valkey://", "valkeys://", "unix://")):
            raise ValueError("must begin with valkey://, valkeys:// or unix://")
        return url
