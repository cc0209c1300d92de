import asyncio
import signal
from collections.abc import Iterator

import pytest

from slipway.service.ending import TELL, Ending


@pytest.fixture
def ended() -> Iterator[asyncio.Event]:
    """Set when the server, which has its handler before ours, is told to end."""
    event = asyncio.Event()
    before = signal.signal(signal.SIGTERM, lambda *_: event.set())
    yield event
    signal.signal(signal.SIGTERM, before)


def test_the_server_is_told_a_while_after_sigterm(ended: asyncio.Event) -> None:
    async def stop() -> float:
        ending, loop = Ending(), asyncio.get_running_loop()
        ending.take_over()
        assert not ending.begun
        began = loop.time()
        signal.raise_signal(signal.SIGTERM)
        assert ending.begun
        await asyncio.wait_for(ended.wait(), 20 * TELL)
        return loop.time() - began

    assert asyncio.run(stop()) >= TELL


def test_a_second_sigterm_is_not_put_off(ended: asyncio.Event) -> None:
    async def stop() -> None:
        Ending().take_over()
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        await asyncio.wait_for(ended.wait(), TELL / 2)

    asyncio.run(stop())
