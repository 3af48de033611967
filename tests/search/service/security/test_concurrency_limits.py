"""One client keeps no other from being answered, and what is large is held once and sent in pieces."""

from __future__ import annotations

import asyncio
from typing import Any

from search.service.security.concurrency_limits import AT_ONCE, MOST, MOST_WITH_BODY, ConcurrencyLimits


class Work:
    """An application that works on a request until it is let go."""

    def __init__(self) -> None:
        self.running: list[str] = []
        self.most = 0
        self.go = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.running.append(scope["state"]["client"])
        self.most = max(self.most, len(self.running))
        await self.go.wait()
        self.running.remove(scope["state"]["client"])
        await send({"type": "http.response.start", "status": 200, "headers": []})


async def ask(app: ConcurrencyLimits, client: str | None, method: str = "GET") -> int:
    statuses = []

    async def send(message: Any) -> None:
        statuses.append(message.get("status"))

    scope = {"type": "http", "method": method, "state": {"client": client}, "path": "/v1/searches", "headers": []}
    await app(scope, lambda: asyncio.sleep(0), send)
    return int(statuses[0])


def test_requests_of_a_client_wait_for_their_turn_and_others_do_not() -> None:
    async def run() -> None:
        work = Work()
        app = ConcurrencyLimits(work)
        greedy = [asyncio.create_task(ask(app, "greedy")) for _ in range(MOST + 5)]
        await asyncio.sleep(0.05)
        assert work.running == ["greedy"] * AT_ONCE
        other = asyncio.create_task(ask(app, "other"))
        await asyncio.sleep(0.05)
        assert work.running.count("other") == 1
        assert await ask(app, "greedy", "POST") == 429
        work.go.set()
        assert sorted(await asyncio.gather(*greedy)) == [200] * MOST + [429] * 5
        assert await other == 200
        assert work.most <= AT_ONCE + 1
        assert await ask(app, "greedy") == 200
        assert app._queues == {}

    asyncio.run(run())


def test_fewer_wait_with_what_they_have_sent() -> None:
    async def run() -> None:
        work = Work()
        app = ConcurrencyLimits(work)
        asked = [asyncio.create_task(ask(app, "one", "POST")) for _ in range(MOST_WITH_BODY + 1)]
        await asyncio.sleep(0.05)
        work.go.set()
        assert sorted(await asyncio.gather(*asked)) == [200] * MOST_WITH_BODY + [429]

    asyncio.run(run())


def test_who_goes_away_while_it_waits_takes_no_turn() -> None:
    async def run() -> None:
        work = Work()
        app = ConcurrencyLimits(work)
        first = [asyncio.create_task(ask(app, "one")) for _ in range(AT_ONCE)]
        gone = [asyncio.create_task(ask(app, "one")) for _ in range(3)]
        await asyncio.sleep(0.05)
        for one in gone:
            one.cancel()
        last = asyncio.create_task(ask(app, "one"))
        work.go.set()
        assert await asyncio.gather(*first, last) == [200] * (AT_ONCE + 1)

    asyncio.run(run())
