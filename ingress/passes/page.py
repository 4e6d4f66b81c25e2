"""GET /pass: the page behind the link in messages, where a patient watches, cancels or moves one booking.

It holds no data: its script gives the pass in, which stands behind the ``#``, and asks with the cookie it gets.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ingress.operation import Handler
from ingress.static import page
from waiting_room.passes import PAGE

PASS_PAGE: Final[dict[str, Handler]] = page(PAGE, Path(__file__).parent, "pass", words="words")
