"""A TCP proxy that can be made slow in either direction while connections stay open."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class SlowProxy:
    """Passes bytes on in order, each after the delay that held when it came."""

    def __init__(self, upstream_port: int) -> None:
        self.to_upstream_seconds = 0.0
        self.to_client_seconds = 0.0
        self._upstream_port = upstream_port
        self._tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def listening(self, port: int) -> AsyncIterator[None]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        try:
            yield
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        with suppress(OSError, asyncio.CancelledError):
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._upstream_port)
            try:
                async with asyncio.TaskGroup() as pumps:
                    pumps.create_task(self._pump(reader, up_writer, upstream=True))
                    pumps.create_task(self._pump(up_reader, writer, upstream=False))
            except* OSError:
                pass
            finally:
                up_writer.close()
                writer.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, upstream: bool) -> None:
        clock = asyncio.get_running_loop().time
        late: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def deliver() -> None:
            while True:
                due, chunk = await late.get()
                await asyncio.sleep(due - clock())
                writer.write(chunk)
                await writer.drain()

        delivering = asyncio.create_task(deliver())
        try:
            while chunk := await reader.read(65_536):
                late.put_nowait((clock() + (self.to_upstream_seconds if upstream else self.to_client_seconds), chunk))
            raise ConnectionResetError  # one side has gone: so does the other
        finally:
            delivering.cancel()
