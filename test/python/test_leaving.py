"""Callers that come in crowds, and callers that leave before the end."""

import asyncio

import pytest
from openai import AsyncOpenAI, Stream

from asking import MESSAGES, MODEL, answer_of, chat, chat_streamed
from clients import BALANCER_WAYS, PLAIN, Client, each, settled
from stage import Scene

pytestmark = pytest.mark.anyio

CROWD = 50

ASYNC_WAYS = [way for way in BALANCER_WAYS if way.is_async]


async def test_fifty_chats_at_once_are_all_answered(scene: Scene) -> None:
    scene.resources[0].fault("throttle:50000", 5)
    url = f"{scene.balancer.url}/v1"
    async with AsyncOpenAI(base_url=url, api_key=scene.balancer.key, **PLAIN) as client:
        whole = await asyncio.gather(*(chat(client) for _ in range(CROWD)))
        streamed = await asyncio.gather(*(chat_streamed(client, []) for _ in range(CROWD)))
    assert {*whole, *streamed} <= {answer_of(resource.name) for resource in scene.resources}
    assert [request.ending for request in scene.finished()] == ["delivered"] * CROWD * 2


@pytest.mark.parametrize("way", BALANCER_WAYS, ids=str)
async def test_a_stream_read_to_its_last_event_is_delivered_though_the_end_of_its_body_is_late(
    client: Client, scene: Scene
) -> None:
    # The package closes the connection at `[DONE]`.
    scene.resources[0].fault("stall:100")
    assert await chat_streamed(client, []) == answer_of("openai1")
    assert [(request.status, request.ending) for request in scene.finished()] == [(200, "delivered")]


@pytest.mark.parametrize("way", BALANCER_WAYS, ids=str)
async def test_a_stream_that_is_closed_half_way_leaves_nothing_behind(client: Client, scene: Scene) -> None:
    scene.resources[0].fault("stall:6")
    stream = await settled(client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True))
    async for chunk in each(stream):
        if any(choice.delta.content for choice in chunk.choices):
            break
    if isinstance(stream, Stream):
        stream.close()
    else:
        await stream.close()
    assert [(request.status, request.ending) for request in scene.finished()] == [(200, "abandoned")]
    status = scene.status()
    assert (status["requestsInFlight"], status["bytesBuffered"]) == (0, 0)
    assert [(backend["state"], backend["inFlight"]) for backend in status["backends"]] == [("closed", 0)] * 3


@pytest.mark.parametrize("way", ASYNC_WAYS, ids=str)
async def test_a_caller_who_leaves_while_a_backend_thinks_leaves_nothing_behind(client: Client, scene: Scene) -> None:
    scene.resources[0].fault("hang")
    asking = asyncio.create_task(chat(client))
    await asyncio.to_thread(scene.until_called, scene.resources[0])
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert [request.ending for request in scene.finished()] == ["abandoned"]
    assert [backend["state"] for backend in scene.status()["backends"]] == ["closed"] * 3
