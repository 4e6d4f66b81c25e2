"""GET /desk/webhooks: a page for whoever looks after webhook endpoints, at a clinic or an app.

It holds no data and has no rights of its own: its script calls the API with the key that is typed in, keeps that in
memory only, and forgets it with the page.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ingress.operation import Handler
from ingress.static import page

WEBHOOKS_PAGE: Final[dict[str, Handler]] = page("/desk/webhooks", Path(__file__).parent, "webhooks")
