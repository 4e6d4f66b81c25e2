"""A real browser looking at our pages: Debian's Chromium, where there is one."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from playwright.async_api import Page, async_playwright, expect

CHROMIUM = shutil.which("chromium")
PATIENCE_MS = 120_000
"""Machines are slow, and only what fails waits so long."""
expect.set_options(timeout=PATIENCE_MS)
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 900}

needs_a_browser = pytest.mark.skipif(CHROMIUM is None, reason="no chromium: .ci/run installs Debian's if it can")


@asynccontextmanager
async def browsing(
    size: Any, headers: Mapping[str, str] | None = None, locale: str = "en-GB"
) -> AsyncIterator[tuple[Page, list[str]]]:
    """A browser's page, and what it complains of."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"], timeout=PATIENCE_MS)
        page = await browser.new_page(viewport=size, extra_http_headers=dict(headers or {}), locale=locale)
        page.set_default_timeout(PATIENCE_MS)
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        try:
            yield page, complaints
        finally:
            await browser.close()
