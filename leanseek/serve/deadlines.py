"""Time limits of connections, which uvicorn does not have: to send a request, and to take the response."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

from uvicorn.protocols.http.h11_impl import H11Protocol


def timed_protocol(seconds: float) -> type[H11Protocol]:
    """uvicorn's protocol with a limit of so many seconds for each request, and for a client to take what was sent.

    The limits are absolute: a client that sends or reads a byte now and then does not move them. A connection that
    breaks one is closed; a response 408 goes first where none has begun.
    """

    class TimedProtocol(H11Protocol):
        _timer: asyncio.TimerHandle | None = None
        _awaited: Literal["request", "reading"] | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._start("request")

        def data_received(self, data: bytes) -> None:
            if self._awaited != "request" and not self._answering():
                self._start("request")
            super().data_received(data)
            if self._answering():
                self._stop()

        def on_response_complete(self) -> None:
            self._stop()
            super().on_response_complete()
            # What is left of the response stands in the transport's buffer until the client takes it.
            if self.transport.get_write_buffer_size():
                self._start("reading")

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop()
            super().connection_lost(exc)

        def _answering(self) -> bool:
            """Whether a whole request is here that is not answered yet."""
            return self.cycle is not None and not self.cycle.more_body and not self.cycle.response_complete

        def _start(self, awaited: Literal["request", "reading"]) -> None:
            self._stop()
            self._awaited = awaited
            self._timer = self.loop.call_later(seconds, self._expired)

        def _stop(self) -> None:
            self._awaited = None
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

        def _expired(self) -> None:
            awaited, self._timer, self._awaited = self._awaited, None, None
            if awaited == "reading":
                if self.transport.get_write_buffer_size():
                    self.transport.abort()
                return
            if self.cycle is not None and not self.cycle.response_started:
                self.transport.write(TIME_IS_UP)
            self.transport.close()
            self._start("reading")

    return TimedProtocol


BODY = (
    b'{"error":{"message":"the request took too long to arrive","type":"invalid_request_error","param":null,'
    b'"code":"receive_timeout"}}'
)
TIME_IS_UP = (
    b"HTTP/1.1 408 Request Timeout\r\ncontent-type: application/json\r\nconnection: close\r\n"
    b"content-length: " + str(len(BODY)).encode() + b"\r\n\r\n" + BODY
)
