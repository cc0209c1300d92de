"""How the service ends: those who keep their connection are told to close it before the server does.

A server that closes the connections on which nothing has been read cuts off requests that are on their way, or wait to
be read behind the work of others; RFC 9112, section 9.6, has the server say `Connection: close` first.
"""

import asyncio
import signal
import threading
from types import FrameType

TELL = 1.0  # seconds from SIGTERM on in which requests are still taken, with an answer that says it is the last


class Ending:
    """Whether the service is about to end.

    Attributes:
        begun: Whether SIGTERM has come.
    """

    def __init__(self) -> None:
        self.begun = False

    def take_over(self) -> None:
        """Put off what the server does on SIGTERM. A second SIGTERM is not put off, and neither is Ctrl-C."""
        if threading.current_thread() is not threading.main_thread():
            return  # no signals come here
        loop, server = asyncio.get_running_loop(), signal.getsignal(signal.SIGTERM)

        def end() -> None:
            if callable(server):
                server(signal.SIGTERM, None)

        def begin(*_: int | FrameType | None) -> None:
            again, self.begun = self.begun, True
            loop.call_soon_threadsafe(end if again else lambda: loop.call_later(TELL, end))

        if callable(server):
            signal.signal(signal.SIGTERM, begin)
