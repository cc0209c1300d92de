"""HTTP: limits, status codes, request ids, logs. An ASGI application in front of BentoML's own.

BentoML keeps the process, its probes and the exposition of metrics. What it puts before an endpoint (tracing, access
log, context, routing) costs several times what the model does, so `/predict` does not go that way.
"""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http import HTTPStatus
from secrets import token_hex
from typing import Any

from slipway.service.ending import Ending
from slipway.service.logs import note, reason, trouble
from slipway.service.metrics import PATHS
from slipway.service.openapi import JSON, PROBLEM
from slipway.service.problems import Refused, shown
from slipway.service.serving import Answered, Serving

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

HOSTED = frozenset({"/livez", "/healthz", "/readyz", "/metrics", "/schema.json"})
SMALL = 1_000_000  # bytes, of a few milliseconds' work; a longer body goes to a thread, and others need not wait for it
THREADS = 2
BODIES = 64_000_000  # bytes of bodies that may be here at the same time
SPARE = 65_536  # bytes of a body that finds room whatever else is here
REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}\Z")


class Door:
    """The application that answers, or hands over to BentoML's."""

    def __init__(self, host: Application, serving: Callable[[], Serving | None]) -> None:
        self._host, self._serving = host, serving
        self._ending = Ending()
        self._threads = ThreadPoolExecutor(THREADS, "predict")
        self.held = 0  # bytes of bodies that are here, or announced
        self._working = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "websocket":  # BentoML would count each under its own path, for good
            await receive()
            await send({"type": "websocket.close"})
            return
        if scope["type"] == "lifespan":
            self._ending.take_over()
        if scope["type"] != "http" or scope["path"] in HOSTED:
            await self._host(scope, receive, send)
            return
        started, serving = time.perf_counter(), self._serving()
        headers = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"")
        request_id = given.decode() if REQUEST_ID.match(given) else token_hex(16)
        kind, rows = PROBLEM, 0
        extra: tuple[tuple[bytes, bytes], ...] = ()
        try:
            status, kind, body, rows, fallback = await self._answer(serving, scope, receive, headers, request_id)
            if fallback:
                extra = ((b"x-slipway-fallback", fallback.encode()),)
        except Refused as refused:
            status, body, extra = refused.status, refused.body(request_id), refused.headers
        except Exception as error:  # a fault of ours: the client learns no more than its id
            trouble("the request failed", request_id=request_id, reason=reason(error))
            status = HTTPStatus.INTERNAL_SERVER_ERROR
            body = Refused(status, "an error of the service; its log has the request id").body(request_id)
        head = [
            (b"content-type", kind.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"x-request-id", request_id.encode()),
            *extra,
        ]
        if self._ending.begun:
            head.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": int(status), "headers": head})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
        if serving is None:
            return
        path, seconds = scope["path"], time.perf_counter() - started
        serving.metrics.request(path, int(status), seconds)
        if serving.settings.log_requests:
            note(
                "request",
                request_id=request_id,
                path=path if path in PATHS else shown(path),
                status=int(status),
                milliseconds=round(seconds * 1e3, 3),
                rows=rows,
            )

    async def _answer(
        self, serving: Serving | None, scope: Scope, receive: Receive, headers: dict[bytes, bytes], request_id: str
    ) -> tuple[HTTPStatus, str, bytes, int, str | None]:
        """Status, type and body of an answer, its rows, and who gave it in the model's place."""
        if serving is None:
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "the service is starting")
        if scope["path"] != "/predict":
            return HTTPStatus.OK, JSON, self._described(serving, scope), 0, None
        answered = await self._predict(serving, scope, receive, headers, request_id)
        return HTTPStatus.OK, JSON, answered.body, answered.rows, answered.fallback

    @staticmethod
    def _described(serving: Serving, scope: Scope) -> bytes:
        """What is there to be read."""
        path = scope["path"]
        if path not in {"/model", "/openapi.json"}:
            raise Refused(
                HTTPStatus.NOT_FOUND, "there is POST /predict, GET /model, /openapi.json, /livez, /readyz, /metrics"
            )
        if scope["method"] not in {"GET", "HEAD"}:
            raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, f"{path} takes GET", headers=((b"allow", b"GET, HEAD"),))
        return serving.model() if path == "/model" else serving.openapi

    async def _predict(
        self, serving: Serving, scope: Scope, receive: Receive, headers: dict[bytes, bytes], request_id: str
    ) -> Answered:
        if scope["method"] != "POST":
            raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, "/predict takes POST", headers=((b"allow", b"POST"),))
        kind = headers.get(b"content-type", JSON.encode()).partition(b";")[0].strip().lower()
        if kind != JSON.encode():
            raise Refused(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"send {JSON}, not {kind.decode('latin-1')[:80] or 'nothing'}"
            )
        if headers.get(b"content-encoding", b"identity").lower() != b"identity":
            raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "send the body as it is, without a content-encoding")
        length = headers.get(b"content-length", b"0")
        limits = serving.settings.limits
        with self._room(int(limits.body_mb * 1e6)) as room:
            if not length.isdigit() or int(length[:20]) > room.most:
                raise _too_large(limits.body_mb)
            body = await self._body(receive, room, limits.seconds)
            if len(body) <= SMALL:
                return serving.respond(body, request_id)
            return await self._in_a_thread(serving, body, request_id)

    async def _in_a_thread(self, serving: Serving, body: bytes, request_id: str) -> Answered:
        limits = serving.settings.limits
        if self._working >= limits.waiting:
            raise _busy()
        self._working += 1
        try:
            async with asyncio.timeout(limits.seconds):
                loop = asyncio.get_running_loop()
                return await loop.run_in_executor(self._threads, serving.respond, body, request_id)
        except TimeoutError:
            raise Refused(
                HTTPStatus.GATEWAY_TIMEOUT, f"not answered within {limits.seconds:g} s; send fewer rows at once"
            ) from None
        finally:
            self._working -= 1

    @staticmethod
    async def _body(receive: Receive, room: "_Room", seconds: float) -> bytes:
        """Read the body, as long as it may be and not longer."""
        try:
            async with asyncio.timeout(seconds):
                message = await receive()
                body: bytes = message.get("body", b"")
                if not message.get("more_body"):
                    return body
                parts, size = [body], len(body)
                while message.get("more_body"):
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise Refused(HTTPStatus.BAD_REQUEST, "the client went away")
                    parts.append(message.get("body", b""))
                    size += len(parts[-1])
                    room.take(size)
                return b"".join(parts)
        except TimeoutError:
            raise Refused(HTTPStatus.REQUEST_TIMEOUT, f"the body did not arrive within {seconds:g} s") from None

    @contextmanager
    def _room(self, most: int) -> Iterator["_Room"]:
        """Room for a body of so many bytes, among all those that are here at the same time."""
        room = _Room(self, most)
        try:
            yield room
        finally:
            self.held -= room.taken


class _Room:
    """What one body takes of the memory for all."""

    def __init__(self, door: Door, most: int) -> None:
        self._door, self.most, self.taken = door, most, 0

    def take(self, size: int) -> None:
        """Make room for a body of which so much has come; a small one always finds some.

        Raises:
            Refused: It is larger than it may be, or there is no room at present.
        """
        if size > self.most:
            raise _too_large(self.most / 1e6)
        if size > self.taken:
            if size > SPARE and self._door.held + size - self.taken > max(BODIES, self.most):
                raise _busy()
            self._door.held += size - self.taken
            self.taken = size


def _busy() -> Refused:
    return Refused(HTTPStatus.TOO_MANY_REQUESTS, "too many requests at once", headers=((b"retry-after", b"1"),))


def _too_large(most_mb: float) -> Refused:
    return Refused(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is larger than {most_mb:g} MB; send the rows in parts"
    )
