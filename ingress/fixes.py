"""What to send instead of a value of the wrong kind, in words: msgspec names a type or a regular expression."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

A_MOMENT: Final = "Send RFC 3339 with a zone offset, such as 2027-01-31T08:00:00Z."
USUAL: Final = "Send a value as /openapi.json describes it."
OF_PATTERN: Final[Mapping[str, str]] = {
    r"^[^\x00-\x1f\x7f]*$(?!\n)": "Send it without control characters.",
    r"^[!-~]{1,128}$(?!\n)": "Send 1 to 128 visible ASCII characters, without spaces.",
    r"^[a-z][a-z_]{0,31}$(?!\n)": "Name it in lower case, such as email, sms, push, channels or quiet_hours.",
    r"^[^\x00-\x1f\x7f]{1,320}$(?!\n)": "Send 1 to 320 characters, none of them a control character.",
    r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,4}$(?!\n)": "Send a language tag (BCP 47), such as de or de-AT.",
    r"^[!-~]{1,64}$(?!\n)": "Send 1 to 64 visible ASCII characters, without spaces.",
    r"^[A-Za-z0-9][A-Za-z0-9._~@-]{0,127}$(?!\n)": "Send 1 to 128 letters, digits and . _ ~ @ - with no sign first.",
    r"^([01][0-9]|2[0-3]):[0-5][0-9]$(?!\n)": "Send a time of day as HH:MM, such as 08:30.",
    r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$(?!\n)": "Send a time of day as HH:MM, such as 17:30, or 24:00.",
    r"^[A-Z]{2}$(?!\n)": "Send a country's two letters (ISO 3166-1), such as DE.",
    r"^[A-Z0-9]{1,3}$(?!\n)": "Send the region's part of its ISO 3166-2 code, such as BE.",
}
"""By the regular expression of the field."""

_PATTERN = re.compile(r"matching regex '(?P<shown>.*)'")
_SHOWN: Final = {repr(pattern)[1:-1]: words for pattern, words in OF_PATTERN.items()}


def fix_of(told: str) -> str:
    """``told``: what msgspec says is wrong, without the place."""
    if found := _PATTERN.search(told):
        return _SHOWN.get(found["shown"], USUAL)
    if told.startswith("Invalid enum value"):
        return "Send one of the values that /openapi.json names for it."
    if "datetime" in told:
        return A_MOMENT
    if "RFC3339 encoded date" in told or "`date`" in told:
        return "Send a day as YYYY-MM-DD."
    return USUAL
