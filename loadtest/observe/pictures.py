"""Pictures of /ops, as a desk and a phone show it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from playwright.async_api import ViewportSize, async_playwright

SIZES: Final[dict[str, ViewportSize]] = {
    "desk": {"width": 1100, "height": 760},
    "phone": {"width": 390, "height": 844},
}
LOOKS_MS = 12_000
"""So that the lines have a course."""


async def take(url: str, folder: Path) -> None:
    """``ops-desk.png`` and ``ops-phone.png``; nothing, said in a line, where there is no Chromium."""
    chromium = shutil.which("chromium")
    if chromium is None:
        print("no chromium: no pictures")
        return
    folder.mkdir(parents=True, exist_ok=True)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for name, size in SIZES.items():
            page = await browser.new_page(viewport=size)
            await page.goto(url)
            await page.wait_for_timeout(LOOKS_MS)
            await page.screenshot(path=folder / f"ops-{name}.png")
        await browser.close()
