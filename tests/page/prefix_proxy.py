"""A small reverse proxy that serves one server below a path, and takes that path off before it asks, or does not."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import aiohttp
from aiohttp import web

HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "upgrade", "content-length", "content-encoding"}


@dataclass(frozen=True)
class Proxied:
    """What `page_serving.Visitor` asks of a server."""

    port: int
    prefix: str

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{self.prefix}/"


@contextmanager
def proxy(upstream_port: int, prefix: str, *, stripping: bool) -> Iterator[Proxied]:
    """On a free port of this machine, in a thread."""
    loop = asyncio.new_event_loop()
    started: list[web.AppRunner] = []
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def start() -> int:
        app = web.Application(client_max_size=1 << 24)
        forward = _Forward(f"127.0.0.1:{upstream_port}", prefix, stripping)
        app.router.add_route("*", "/{path:.*}", forward.answer)
        runner = web.AppRunner(app, shutdown_timeout=1)
        started.append(runner)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        return int(runner.addresses[0][1])

    async def stop() -> None:
        for runner in started:
            await runner.cleanup()
        left = asyncio.all_tasks() - {asyncio.current_task()}  # of clients that have gone without a word
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    try:
        yield Proxied(asyncio.run_coroutine_threadsafe(start(), loop).result(10), prefix)
    finally:
        asyncio.run_coroutine_threadsafe(stop(), loop).result(20)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


class _Forward:
    def __init__(self, upstream: str, prefix: str, stripping: bool) -> None:
        self.upstream, self.prefix, self.stripping = upstream, prefix, stripping

    async def answer(self, request: web.Request) -> web.StreamResponse:
        path = request.raw_path
        if not path.startswith(f"{self.prefix}/"):
            return web.Response(status=404, text="another site of this host")
        target = f"{self.upstream}{path.removeprefix(self.prefix) if self.stripping else path}"
        headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP}
        headers["X-Forwarded-Prefix"] = self.prefix  # as Traefik does
        async with aiohttp.ClientSession(auto_decompress=False) as session:
            if request.headers.get("Upgrade", "").lower() == "websocket":
                kept = {name: value for name, value in headers.items() if not name.lower().startswith("sec-websocket")}
                return await self._socket(session, request, f"ws://{target}", kept)
            body = await request.read()
            async with session.request(
                request.method, f"http://{target}", headers=headers, data=body or None, allow_redirects=False
            ) as answer:
                told = [(name, value) for name, value in answer.headers.items() if name.lower() not in HOP_BY_HOP]
                response = web.StreamResponse(status=answer.status)
                response.headers.extend(told)
                if "Content-Encoding" in answer.headers:
                    response.headers["Content-Encoding"] = answer.headers["Content-Encoding"]
                await response.prepare(request)
                async for piece in answer.content.iter_any():
                    await response.write(piece)
                return response

    async def _socket(
        self, session: aiohttp.ClientSession, request: web.Request, target: str, headers: dict[str, str]
    ) -> web.StreamResponse:
        async with session.ws_connect(target, headers=headers) as inside:
            outside = web.WebSocketResponse()
            await outside.prepare(request)

            async def pump(source: object, sink: object) -> None:
                async for message in source:  # type: ignore[attr-defined]
                    send = sink.send_str if message.type is aiohttp.WSMsgType.TEXT else sink.send_bytes  # type: ignore[attr-defined]
                    await send(message.data)

            pumps = [asyncio.ensure_future(pump(outside, inside)), asyncio.ensure_future(pump(inside, outside))]
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for one in pumps:
                one.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            return outside
