"""One request: whose memories it is about, and how it is answered."""

from __future__ import annotations

import hmac
import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import perf_counter
from typing import Any, Protocol, cast
from urllib.parse import parse_qsl

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from memorizz.console import _show
from memorizz.console._gate import form_key
from memorizz.console._sight import Sight
from memorizz.errors import FilterError, MemorizzError, ReadOnlyError
from memorizz.memory_provider.base import AsyncMemoryProvider
from memorizz.memory_provider.stores import StoreSpec


class Database(Protocol):
    """What the database says of itself, beside the memories."""

    async def facts(self) -> Any: ...
    async def glance(self, tenants: int) -> tuple[dict[str, int], list[str]]: ...
    async def noted(self) -> list[Any]: ...
    async def examine(self) -> tuple[Any, Any]: ...


@dataclass(frozen=True, kw_only=True)
class Console:
    """What is looked at.

    provider: opened with the console, and closed with it.
    tenant, memory: that alone is shown; None for what the address of a page says.
    write: also offer what changes something.
    database: opens what measures and examines the database; None where there is nothing to ask.
    without_meaning: why nothing is searched by meaning, "" where it is.
    kept: since when the history of each store is kept that has one; read when the console opens.
    """

    provider: AsyncMemoryProvider
    tenant: str | None = None
    memory: str | None = None
    write: bool = False
    database: Callable[[], AbstractAsyncContextManager[Database]] | None = None
    without_meaning: str = ""
    kept: dict[str, datetime] = field(default_factory=dict[str, datetime])

    def view(self) -> AsyncMemoryProvider:
        """Return what may be looked at, once the provider is open."""
        view = self.provider if self.tenant is None else self.provider.tenant(self.tenant)
        return view if self.memory is None else view.memory(self.memory)


_templates = Environment(
    loader=PackageLoader("memorizz.console"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_filters = (
    _show.ago,
    _show.moment,
    _show.number,
    _show.plain,
    _show.pretty,
    _show.score,
    _show.short,
    _show.size,
    _show.text,
)
cast("dict[str, Any]", _templates.filters).update({each.__name__: each for each in _filters})  # pyright: ignore[reportUnknownMemberType]


# In bytes; no form has more.
_LARGEST_FORM = 4_000_000


class NotFound(MemorizzError):
    """There is no such thing to show."""


class Forbidden(MemorizzError):
    """A form that none of our pages made."""


class Page:
    """A request, the console that it is to, and the memories that it may see."""

    def __init__(self, console: Console, token: str, request: Request) -> None:
        self.console, self.request = console, request
        self.query = request.query_params
        self.sight = Sight.of(self.query)
        self.began = perf_counter()
        self._key = form_key(token)

    @property
    def view(self) -> AsyncMemoryProvider:
        """The memories of the sight."""
        return self.sight.through(self.console.view())

    async def specs(self) -> list[StoreSpec]:
        """Return all stores; of a time that was, those whose history is kept."""
        known = await self.console.provider.stores()
        return [each for each in known if each.name in self.console.kept] if self.sight.at else known

    async def spec(self) -> StoreSpec:
        """Return the store that the address names; raises ConfigurationError."""
        wanted = self.query.get("store", "")
        for each in await self.console.provider.stores():
            if each.name == wanted:
                return each
        raise NotFound(f"there is no store {wanted!r} here")

    async def form(self) -> Mapping[str, str]:
        """Return what a form brings; raises Forbidden where none of our pages made it."""
        body = b""
        async for part in self.request.stream():
            body += part
            if len(body) > _LARGEST_FORM:
                raise Forbidden(f"a form has at most {_LARGEST_FORM:,} bytes")
        given = dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
        if not hmac.compare_digest(given.pop("key", "").encode(), self._key.encode()):
            raise Forbidden("this form is of no page of this console, or of one that has ended: open the page again")
        return given

    def show(self, template: str, status: int = 200, **context: Any) -> Response:
        """Answer with a page."""
        page = _templates.get_template(template).render(
            context,
            console=self.console,
            fixed=self.console.view().scope,
            here=self.request.url.path.strip("/"),
            key=self._key,
            location=self.console.provider.location,
            now=datetime.now(UTC),
            query=self.query,
            sight=self.sight,
            to=self.sight.to,
            took=lambda: (perf_counter() - self.began) * 1000,
        )
        return HTMLResponse(page, status)

    def complain(self, error: MemorizzError) -> Response:
        """Answer with what was wrong."""
        # What the address says is shown with it, but not looked through: that may be what is wrong.
        known = ((NotFound, 404), (Forbidden, 403), (ReadOnlyError, 403), (ValueError, 400))
        status = next((status for kind, status in known if isinstance(error, kind)), 503)
        return self.show("error.html", status, message=str(error))


def json_object(text: str, what: str) -> dict[str, Any]:
    """Return the JSON object that somebody typed; raises FilterError, which says what it was to be."""
    try:
        found: Any = json.loads(text)
    except ValueError as error:
        raise FilterError(f'{what}: no JSON ({error}); expected an object such as {{"topic": "tea"}}') from None
    if not isinstance(found, dict):
        raise FilterError(f"{what}: expected a JSON object, got {text}")
    return cast("dict[str, Any]", found)


Handler = Callable[[Page], Awaitable[Response]]
