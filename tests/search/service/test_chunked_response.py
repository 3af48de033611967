"""A large response is sent in chunks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from search.service.chunked_response import CHUNK_BYTES, ChunkedResponse


def test_a_large_answer_is_sent_in_pieces_as_fast_as_it_is_taken() -> None:
    body = bytes(range(256)) * 2_000
    answer = ChunkedResponse(body, media_type="image/png")
    sent: list[dict[str, Any]] = []
    taken = asyncio.Event()

    async def run() -> None:
        async def send(message: dict[str, Any]) -> None:
            sent.append(message)
            if len(sent) > 3:
                await taken.wait()

        sending: Callable[..., Awaitable[None]] = answer.__call__
        task = asyncio.create_task(sending({"type": "http"}, None, send))  # type: ignore[arg-type]
        await asyncio.sleep(0.05)
        assert len(sent) == 4  # what the client has not taken is not made
        taken.set()
        await task

    asyncio.run(run())
    assert dict(sent[0]["headers"])[b"content-length"] == str(len(body)).encode()
    assert b"".join(one["body"] for one in sent[1:]) == body
    assert max(len(one["body"]) for one in sent[1:]) <= CHUNK_BYTES
    assert [one["more_body"] for one in sent[1:]] == [True] * (len(sent) - 2) + [False]
