"""The settings of webhooks and of the secrets they are signed with, a part of ``Settings``."""

from __future__ import annotations

from ipaddress import ip_network

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings

from waiting_room.envelope import master_key


class WebhookSettings(BaseSettings):
    webhook_timeout_seconds: float = Field(15.0, gt=0, le=60, description="Deadline of one webhook delivery.")
    webhook_allow_networks: str = Field(
        "",
        description="Networks (CIDR, comma separated) that webhooks, and whoever reads calendars, may reach although "
        "private; for development.",
    )
    webhook_retry_seconds: str = Field(
        "5,300,1800,7200,18000,36000,36000",
        description="Pauses between the attempts of a webhook delivery, comma separated; after the last it failed.",
    )
    webhook_in_flight_max: int = Field(
        500, ge=1, le=10_000, description="Webhook deliveries one worker may have in flight."
    )
    webhook_endpoint_in_flight_max: int = Field(
        32,
        ge=1,
        le=1_000,
        description="Of these, at most to one endpoint; how many it takes is found out by trying.",
    )
    webhook_disable_after_seconds: float = Field(
        432_000.0,
        gt=0,
        le=31_536_000,
        description="A webhook endpoint that has done nothing but fail for so long is switched off: five days.",
    )
    webhook_secret_overlap_seconds: float = Field(
        86_400.0,
        gt=0,
        le=2_592_000,
        description="How long a rotated webhook secret goes on signing beside the new one.",
    )
    master_key: SecretStr | None = Field(
        None,
        description="Key that patients' keys, webhook secrets and addresses of calendars are wrapped under: 32 to 128 "
        "random characters.",
    )
    master_keys_retired: SecretStr = Field(
        SecretStr(""),
        description="Other master keys, comma separated: what is sealed under them opens. Earlier ones, and the next.",
    )

    @field_validator("master_key")
    @classmethod
    def _master_key(cls, key: SecretStr | None) -> SecretStr | None:
        if key is not None:
            master_key(key.get_secret_value())
        return key

    @field_validator("master_keys_retired")
    @classmethod
    def _master_keys(cls, keys: SecretStr) -> SecretStr:
        for each in filter(None, keys.get_secret_value().split(",")):
            master_key(each)
        return keys

    @field_validator("webhook_retry_seconds")
    @classmethod
    def _pauses(cls, text: str) -> str:
        seconds = [float(part) for part in text.split(",")]
        if not all(0 <= each <= 7 * 86_400 for each in seconds):
            raise ValueError("each pause is 0 seconds to 7 days")
        return text

    @field_validator("webhook_allow_networks")
    @classmethod
    def _networks(cls, text: str) -> str:
        for part in filter(None, text.split(",")):
            ip_network(part.strip())
        return text
