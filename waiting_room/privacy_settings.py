"""The settings of what is kept of patients, a part of ``Settings``; the master key stands with webhooks' settings."""

from __future__ import annotations

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings


class PrivacySettings(BaseSettings):
    patient_secret: SecretStr | None = Field(
        None,
        description="Secret that patients are found by: 32 characters or more, the same everywhere, for good.",
    )
    patient_keep_days: int = Field(
        365,
        ge=1,
        le=36_500,
        description="So long after a patient's last appointment the key of their data is forgotten.",
    )

    @field_validator("patient_secret")
    @classmethod
    def _cannot_be_guessed(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None and len(secret.get_secret_value()) < 32:
            raise ValueError("must have 32 characters or more")
        return secret
