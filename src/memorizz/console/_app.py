"""The application: its pages, and what opens and closes with it."""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib.resources import files

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from memorizz._serving import serve as serve_app
from memorizz.console import _changes, _conversations, _document, _health, _map, _memories, _overview
from memorizz.console._gate import Gate
from memorizz.console._page import Console, Handler, NotFound, Page
from memorizz.errors import MemorizzError

HOST = "127.0.0.1"
_PAGES: dict[str, Handler] = {
    "/": _overview.overview,
    "/memories": _memories.memories,
    "/document": _document.document,
    "/conversations": _conversations.conversations,
    "/conversation": _conversations.conversation,
    "/map": _map.map_,
    "/points": _map.points,
    "/health": _health.health,
}
# With --write: what shows what would be done, and what does it.
_BEFORE: dict[str, Handler] = {"/forget": _changes.forgetting}
_CHANGES: dict[str, Handler] = {
    "/edit": _changes.edit,
    "/delete": _changes.delete,
    "/restore": _changes.restore,
    "/undo": _changes.undo,
    "/forget": _changes.forget,
}
_TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


def app(console: Console, token: str) -> Starlette:
    """Return the console as an ASGI application, for browsers of this machine that bring the token.

    token: what nobody can guess; `/?token=...` opens the console.
    """

    def answered(handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            page = Page(console, token, request)
            try:
                return await handler(page)
            except MemorizzError as error:
                return page.complain(error)

        return answer

    async def unknown(request: Request, error: Exception) -> Response:
        return Page(console, token, request).complain(NotFound("there is no such page"))

    @asynccontextmanager
    async def opened(app: Starlette) -> AsyncGenerator[None]:
        async with console.provider:
            if console.database is not None:
                async with console.database() as database:
                    stores = (await database.facts()).stores
                    console.kept.update({name: each.kept.begins for name, each in stores.items() if each.kept})
            yield

    pages, changes = (_PAGES | _BEFORE, _CHANGES) if console.write else (_PAGES, {})
    return Starlette(
        routes=[
            *(Route(path, answered(handler), methods=["GET"]) for path, handler in pages.items()),
            *(Route(path, answered(handler), methods=["POST"]) for path, handler in changes.items()),
            Route("/assets/{name}", _asset, methods=["GET"]),
            # What browsers ask for before they have read a page.
            Route("/favicon.ico", _icon, methods=["GET"]),
        ],
        middleware=[Middleware(Gate, token=token)],
        exception_handlers={404: unknown},
        lifespan=opened,
    )


def serve(console: Console, port: int, ready: Callable[[str], None]) -> None:
    """Serve a console on 127.0.0.1 until SIGINT or SIGTERM.

    `ready` is told the address, which has the token in it, as soon as it answers there; port 0 is any that is free.
    """
    token = secrets.token_urlsafe(32)
    serve_app(app(console, token), HOST, port, lambda address: ready(f"{address}/?token={token}"))


async def _asset(request: Request) -> Response:
    return _file(request.path_params["name"])


async def _icon(request: Request) -> Response:
    return _file("icon.svg")


def _file(name: str) -> Response:
    found = _ASSETS.get(name)
    if found is None:
        return Response("there is no such file", 404)
    return Response(found, media_type=_TYPES[name.rpartition(".")[2]], headers={"Cache-Control": "no-cache"})


_ASSETS = {each.name: each.read_bytes() for each in (files("memorizz.console") / "assets").iterdir()}
