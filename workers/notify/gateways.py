"""The gateways that the settings name, one for each channel, open for as long as the worker runs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

from waiting_room.domain.notifications import Channel
from waiting_room.settings import Settings
from workers.notify.http_gateway import HttpGateway
from workers.notify.letter import Gateway
from workers.notify.smtp_gateway import SmtpGateway


@asynccontextmanager
async def gateways(settings: Settings) -> AsyncIterator[Mapping[Channel, Gateway]]:
    """By channel; one without an address is left out."""
    timeout_seconds = settings.notify_timeout_seconds
    token = settings.notify_gateway_token.get_secret_value() if settings.notify_gateway_token else None
    found: dict[Channel, Gateway] = {}
    if smtp := settings.notify_smtp_url:
        found[Channel.EMAIL] = SmtpGateway(
            smtp.get_secret_value(), settings.notify_email_from, timeout_seconds=timeout_seconds
        )
    for channel, url in ((Channel.SMS, settings.notify_sms_url), (Channel.PUSH, settings.notify_push_url)):
        if url:
            found[channel] = HttpGateway(
                channel,
                url.get_secret_value(),
                token=token,
                timeout_seconds=timeout_seconds,
                in_flight=settings.notify_in_flight_max,
            )
    async with AsyncExitStack() as stack:
        for gateway in found.values():
            stack.push_async_callback(gateway.close)
        yield found
