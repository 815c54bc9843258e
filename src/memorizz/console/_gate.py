"""Who may reach the console: this machine's browser, by the address that was printed, and no page of another site."""

from __future__ import annotations

import hashlib
import hmac
from html import escape
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from memorizz._serving import HERE

# What has nothing of the memories in it.
_OPEN = ("/assets/", "/favicon.ico")
# Everything comes from this server, scripts and styles in files of their own: what is in a memory stays text.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # With less, browsers send `Origin: null` with our own forms.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Gate:
    """Answers none but requests of this machine that bring the token, in the first address or in the cookie of it."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app, self._token = app, token
        # Cookies know no ports: consoles side by side have one each.
        self._cookie = f"memorizz_{_digest(token, 'cookie')[:12]}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(_HEADERS)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        answer = self._judged(scope)
        await (self._app if answer is None else answer)(scope, receive, sent)

    def _judged(self, scope: Scope) -> Response | None:
        """Return the answer to one who may not, or who comes with the token; None for one who may."""
        headers = Headers(scope=scope)
        host, origin = headers.get("host", ""), headers.get("origin")
        # A name that leads here by somebody else's DNS is none of ours.
        if host.rpartition(":")[0] not in HERE and host not in HERE:
            return _refusal("This console answers on this machine only.", 421)
        if origin is not None and origin != f"http://{host}":
            return _refusal("This request comes from a page of another site.", 403)
        if scope["path"].startswith(_OPEN):
            return None
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        given = [value for name, value in query if name == "token"]
        if given and scope["method"] == "GET":
            if not _is(given[0], self._token):
                return _refusal("This address is of another console, or of one that has ended.", 403)
            return self._opened(scope["path"], urlencode([each for each in query if each[0] != "token"]))
        cookie = cookie_parser(headers.get("cookie", "")).get(self._cookie, "")
        if not _is(cookie, self._token):
            return _refusal("Open the address that `memorizz console` has printed: it has the key.", 401)
        return None

    def _opened(self, path: str, query: str) -> Response:
        # Where a link of another site leads here, a redirect would not bring a strict cookie; a page that goes on does.
        onwards = escape(f"/{path.lstrip('/')}{'?' if query else ''}{query}")
        answer = HTMLResponse(f'<!doctype html><meta http-equiv="refresh" content="0;url={onwards}">')
        answer.set_cookie(self._cookie, self._token, httponly=True, samesite="strict")
        return answer


def form_key(token: str) -> str:
    """Return what a form brings to show that one of our pages made it."""
    return _digest(token, "form")


def _digest(token: str, purpose: str) -> str:
    return hmac.new(token.encode(), purpose.encode(), hashlib.sha256).hexdigest()


def _is(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), wanted.encode())


def _refusal(text: str, status: int) -> Response:
    page = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>memorizz console</title>'
        '<meta name="viewport" content="width=device-width"><link rel="stylesheet" href="/assets/console.css">'
        f'<main class="alone"><h1>memorizz console</h1><p>{text}</p></main></html>'
    )
    return HTMLResponse(page, status)
