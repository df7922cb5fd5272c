"""Through the balancer while backends are in trouble: the package never notices, or is told the truth."""

from collections.abc import Callable

import pytest
from openai import InternalServerError, RateLimitError, UnprocessableEntityError

from asking import MESSAGES, MODEL, QUESTION, answer_of, chat, chat_streamed, response_streamed
from clients import TYPICAL_WAYS, Client, entered, settled
from stage import Scene

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("way", TYPICAL_WAYS, ids=str)]

ANSWER = answer_of("openai2")


def _scripted(fault: str) -> Callable[[Scene], None]:
    return lambda scene: scene.resources[0].fault(fault, "always")


# What is wrong with the first backend, and how often it is asked before that is known.
TROUBLES = {
    "throttled": (_scripted("throttle:50000"), 1),
    "failing": (_scripted("status:503"), 1),
    "resetting": (_scripted("reset-before-headers"), 1),
    "cut": (_scripted("truncated:0"), 1),
    "refusing-the-credential": (_scripted("unauthorized"), 1),
    "without-the-operation": (_scripted("operation-not-supported"), 1),
    "without-the-deployment": (_scripted("missing-deployment"), 1),
    "down": (lambda scene: scene.take_down(scene.resources[0]), 0),
}


@pytest.fixture(params=TROUBLES)
def calls(request: pytest.FixtureRequest, scene: Scene) -> list[int]:
    """How often each resource is to be asked."""
    befalls, asked = TROUBLES[request.param]
    befalls(scene)
    return [asked, 1, 0]


def _calls(scene: Scene, expected: list[int]) -> list[int]:
    """A resource that is down has no control API either."""
    return [
        resource.calls if count > 0 or index > 0 else 0
        for index, (resource, count) in enumerate(zip(scene.resources, expected, strict=True))
    ]


async def test_a_chat_completion_comes_from_the_next_backend(client: Client, scene: Scene, calls: list[int]) -> None:
    raw = await settled(client.chat.completions.with_raw_response.create(model=MODEL, messages=MESSAGES))
    assert raw.parse().choices[0].message.content == ANSWER
    assert raw.headers["x-balancer-backend"] == "openai2"
    assert raw.headers["x-balancer-attempts"] == "2"
    assert raw.headers["x-balancer-trace"].startswith("openai1=")
    assert _calls(scene, calls) == calls


async def test_a_chat_stream_comes_from_the_next_backend(client: Client, scene: Scene, calls: list[int]) -> None:
    assert await chat_streamed(client, []) == ANSWER
    assert _calls(scene, calls) == calls
    assert [(request.ending, request.attempts) for request in scene.finished()] == [("delivered", 2)]


async def test_a_response_stream_comes_from_the_next_backend(client: Client, scene: Scene, calls: list[int]) -> None:
    assert await response_streamed(client, []) == ANSWER
    assert _calls(scene, calls) == calls
    assert [(request.ending, request.attempts) for request in scene.finished()] == [("delivered", 2)]


async def test_a_stream_tells_its_backend_before_its_first_event(client: Client, scene: Scene) -> None:
    scene.resources[0].fault("throttle:50000")
    asked = client.responses.with_streaming_response.create(model=MODEL, input=QUESTION, store=False, stream=True)
    async with entered(asked) as response:
        assert response.headers["x-balancer-backend"] == "openai2"
        assert response.headers["content-type"].startswith("text/event-stream")


async def test_an_upload_is_sent_again_whole(client: Client, scene: Scene, calls: list[int]) -> None:
    file = ("speech.wav", bytes(70_000), "audio/wav")
    transcription = await settled(client.audio.transcriptions.create(model="gpt-4o-transcribe", file=file))
    assert transcription.text == "openai2 heard 70000 bytes with gpt-4o-transcribe"
    assert _calls(scene, calls) == calls


async def test_a_backend_that_throttles_is_not_asked_again_before_its_time(client: Client, scene: Scene) -> None:
    scene.resources[0].fault("throttle:50000")
    assert await chat(client) == ANSWER
    assert (await chat(client)) in {answer_of("openai2"), answer_of("openai3")}
    assert scene.calls[0] == 1


async def test_when_all_throttle_the_error_says_the_earliest_recovery(client: Client, scene: Scene) -> None:
    for resource, wait in zip(scene.resources, (50_000, 30_000, 40_000), strict=True):
        resource.fault(f"throttle:{wait}", "always")
    with pytest.raises(RateLimitError) as raised:
        await chat(client)
    error = raised.value
    assert (error.code, error.type) == ("all_backends_throttled", "too_many_requests")
    assert 20_000 < int(error.response.headers["retry-after-ms"]) <= 30_000
    assert 20 < int(error.response.headers["retry-after"]) <= 30
    assert scene.calls == [1, 1, 1]


# The package itself would sleep for up to two minutes.
async def test_the_package_does_not_retry_what_recovers_in_more_than_a_minute(
    client: Client, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(seconds: float) -> None:
        pytest.fail(f"it sleeps for {seconds} s")

    monkeypatch.setattr("time.sleep", refuse)
    monkeypatch.setattr("anyio.sleep", refuse)
    scene.fault("throttle:90000", "always")
    with pytest.raises(RateLimitError) as raised:
        await chat(client.with_options(max_retries=2))
    assert raised.value.response.headers["x-should-retry"] == "false"
    assert [request.status for request in scene.finished()] == [429]
    assert scene.calls == [1, 1, 1]


async def test_the_package_may_retry_what_recovers_within_a_minute(client: Client, scene: Scene) -> None:
    scene.fault("throttle:30000", "always")
    with pytest.raises(RateLimitError) as raised:
        await chat(client)
    assert raised.value.response.headers.get("x-should-retry") != "false"


async def test_when_all_are_down_the_error_says_so(client: Client, scene: Scene) -> None:
    for resource in scene.resources:
        scene.take_down(resource)
    with pytest.raises(InternalServerError) as raised:
        await chat(client)
    assert (raised.value.status_code, raised.value.code) == (502, "backends_unreachable")


async def test_what_the_caller_got_wrong_is_asked_of_one_backend_only(client: Client, scene: Scene) -> None:
    scene.fault("status:422", "always")
    with pytest.raises(UnprocessableEntityError):
        await chat(client)
    assert scene.calls == [1, 0, 0]
