"""Pages that ingress serves: files that hold no data themselves, under a policy that lets nothing else in."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from ingress.operation import Handler
from ingress.parts import Parts

_HEADERS: Final = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


_COLOURS: Final = Path(__file__).parent / "colours.css"


def page_file(path: Path, media_type: str, *, after: Path | None = None) -> Handler:
    """Gives this file, ``after`` another if one is named, to anybody."""
    content = (b"" if after is None else after.read_bytes()) + path.read_bytes()

    async def answer(parts: Parts, request: Request) -> Response:
        return Response(content, headers=_HEADERS, media_type=media_type)

    return answer


def page(path: str, folder: Path, name: str, *, words: str | None = None) -> dict[str, Handler]:
    """A page at ``path``, with the script and the style that belong to it below; all pages have the same colours.

    ``words``: a script that comes before the page's own.
    """
    before = None if words is None else folder / f"{words}.js"
    return {
        path: page_file(folder / f"{name}.html", "text/html"),
        f"{path}/{name}.css": page_file(folder / f"{name}.css", "text/css", after=_COLOURS),
        f"{path}/{name}.js": page_file(folder / f"{name}.js", "text/javascript", after=before),
    }
