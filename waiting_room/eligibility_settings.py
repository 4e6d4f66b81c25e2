"""The settings of the eligibility system that patients' right to a service is asked of, a part of ``Settings``."""

from __future__ import annotations

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings


class EligibilitySettings(BaseSettings):
    eligibility_url: str = Field(
        "",
        description="Base address of the system that knows who may have what. Unset, services that ask for it find it "
        "away: docs/eligibility.md.",
    )
    eligibility_token: SecretStr | None = Field(None, description="Bearer token for it.")
    eligibility_call_seconds: float = Field(3.0, gt=0, le=60, description="Deadline of one question to it.")
    eligibility_calls_max: int = Field(
        32, ge=1, le=10_000, description="Questions one confirm worker may ask it at once."
    )
    eligibility_cache_seconds: float = Field(
        300.0,
        ge=0,
        le=86_400,
        description="How long a confirm worker takes a yes for the same patient and service again; a no a tenth of it.",
    )
    eligibility_cache_max: int = Field(
        20_000, ge=1, le=10_000_000, description="Answers a confirm worker remembers, about 200 bytes each."
    )

    @field_validator("eligibility_url")
    @classmethod
    def _http(cls, url: str) -> str:
        if url and not url.startswith(("http://", "https://")):
            raise ValueError("must be http:// or https://")
        return url
