"""Who may see the pages: who has the token, from this machine, and nothing else may embed them."""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import TYPE_CHECKING

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

HOST = re.compile(r"(127\.0\.0\.1|localhost)(:\d{1,5})?")  # as an address may name this machine
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; connect-src 'self'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
}
REFUSED = "a page must be asked for with its token: open the address that the command printed\n"


class TokenGate:
    """Passes on what carries the token in the address, once, or in the cookie that it then gets."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self.app, self.token = app, token
        # Cookies do not tell ports apart: two dashboards on one machine each have theirs.
        self.cookie = f"semisweep-{hashlib.sha256(token.encode()).hexdigest()[:12]}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        answer = self._answer(Request(scope)) or self.app
        await answer(scope, receive, with_headers)

    def _answer(self, request: Request) -> Response | None:
        """Return a refusal or a redirection, None for what may pass."""
        if not HOST.fullmatch(request.headers.get("host", "")):  # a stranger's name that leads here
            return PlainTextResponse("a page must be of this machine\n", status_code=400)
        given = request.query_params.get("token")
        if given is not None and self._is_token(given):
            address = request.url.remove_query_params("token")
            target = address.path + (f"?{address.query}" if address.query else "")
            response = RedirectResponse(f"/{target.lstrip('/')}", status_code=303)
            response.set_cookie(self.cookie, self.token, httponly=True, samesite="lax")
            return response
        if self._is_token(request.cookies.get(self.cookie, "")):
            return None
        return PlainTextResponse(REFUSED, status_code=403)

    def _is_token(self, text: str) -> bool:
        return secrets.compare_digest(text.encode(), self.token.encode())
