"""The settings of notifications, a part of ``Settings``."""

from __future__ import annotations

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings

from waiting_room.domain.quiet_hours import quiet_hours_of
from waiting_room.domain.reminders import leads_of
from waiting_room.setting_kinds import HttpUrl, SecretHttpUrl, SmtpUrl

LANGUAGES = ("en", "de")


def _each(secrets: SecretStr) -> list[str]:
    return [each for part in secrets.get_secret_value().split(",") if (each := part.strip())]


class NotifySettings(BaseSettings):
    notify_smtp_url: SmtpUrl = Field(
        None,
        description="SMTP relay for emails: smtp://USER:PASSWORD@HOST:PORT, with TLS where it offers it, or smtps://.",
    )
    notify_email_from: str = Field("no-reply@localhost", description="Sender of emails: an address, or NAME <ADDRESS>.")
    notify_sms_url: SecretHttpUrl = Field(None, description="HTTP gateway that SMS are posted to.")
    notify_push_url: SecretHttpUrl = Field(None, description="HTTP gateway that push messages are posted to.")
    notify_gateway_token: SecretStr | None = Field(None, description="Bearer token for both HTTP gateways.")
    notify_timeout_seconds: float = Field(10.0, gt=0, le=120, description="Deadline of one attempt at a gateway.")
    notify_retry_seconds: str = Field(
        "5,15",
        description="Pauses between the attempts of a message, comma separated; after the last it failed.",
    )
    notify_in_flight_max: int = Field(64, ge=1, le=10_000, description="Messages one worker may be sending at once.")
    notify_in_hand_max: int = Field(
        500, ge=1, le=100_000, description="Messages one worker may have in hand before they are due."
    )
    notify_horizon_seconds: float = Field(
        600.0, gt=0, le=86_400, description="How long before they are due a worker takes messages in hand."
    )
    notify_reminders: str = Field(
        "24h,1h",
        description="How long before its appointment a patient is reminded, comma separated, unless the service type "
        "says otherwise: minutes or hours that pass (30m, 24h), or days on the clinic's clock (1d). Empty: never.",
    )
    notify_quiet_hours: str = Field(
        "",
        description="Hours without SMS and push for patients who named none: 21:00-08:00 on the clinic's clock.",
    )
    notify_language: str = Field("en", description="Language for patients who named none that we have: en or de.")
    notify_keep_days: int = Field(
        90, ge=32, le=3_650, description="How long it is known of a message what became of it."
    )
    notify_booking_link: str = Field(
        "",
        description="An app's page where a patient sees and cancels a booking, linked in messages, with {booking_ref} "
        "or, behind a #, {pass} in it. Empty: ingress's own, where the two below are set.",
    )
    notify_offer_link: str = Field(
        "",
        description="Page where a patient answers the offer of a seat, with {offer_id} and {answer} (accept, decline) "
        "in it, and {booking_ref} if need be: linked in messages.",
    )
    notify_public_url: HttpUrl = Field(
        "", description="Where patients reach ingress, for the links in messages: https://HOST. Empty: no such links."
    )
    notify_link_secret: SecretStr | None = Field(
        None, description="Secret that these links are signed with: 32 characters or more, for notify and ingress."
    )
    notify_link_secrets_retired: SecretStr = Field(
        SecretStr(""),
        description="Others, comma separated, for ingress: what they have signed holds. Earlier ones, and the next.",
    )
    notify_pass_days: int = Field(
        7, ge=1, le=365, description="How long after its appointment the link in a message still opens the booking."
    )

    @property
    def link_secrets(self) -> tuple[str, ...]:
        """What links may be signed with, the current one first; none where none is set."""
        if self.notify_link_secret is None:
            return ()
        return (self.notify_link_secret.get_secret_value(), *_each(self.notify_link_secrets_retired))

    @field_validator("notify_booking_link")
    @classmethod
    def _pass_behind_a_hash(cls, link: str) -> str:
        if "{pass}" in link.partition("#")[0]:
            raise ValueError("{pass} stands in no address that servers see: put it behind a #")
        return link

    @field_validator("notify_link_secret", "notify_link_secrets_retired")
    @classmethod
    def _hard_to_guess(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None and any(len(each) < 32 for each in _each(secret)):
            raise ValueError("must have 32 characters or more")
        return secret

    @field_validator("notify_reminders")
    @classmethod
    def _leads(cls, text: str) -> str:
        leads_of(filter(None, text.split(",")))
        return text

    @field_validator("notify_retry_seconds")
    @classmethod
    def _notify_pauses(cls, text: str) -> str:
        if not all(0 <= float(part) <= 86_400 for part in text.split(",")):
            raise ValueError("each pause is 0 seconds to a day")
        return text

    @field_validator("notify_quiet_hours")
    @classmethod
    def _quiet(cls, text: str) -> str:
        if text:
            quiet_hours_of(text)
        return text

    @field_validator("notify_language")
    @classmethod
    def _language(cls, text: str) -> str:
        if text not in LANGUAGES:
            raise ValueError(f"is none of {', '.join(LANGUAGES)}")
        return text
