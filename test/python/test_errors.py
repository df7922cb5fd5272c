"""The error classes of the package: what a caller can tell apart, from a resource and through the balancer."""

import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import pytest
from openai import (
    DEFAULT_MAX_RETRIES,
    APIConnectionError,
    APIError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    InternalServerError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
)

from asking import MODEL, QUESTION, answer_of, chat, chat_streamed, response_streamed
from clients import BALANCER_WAYS, SIMULATOR_WAYS, WAYS, Client, Way, settled
from stage import Scene

pytestmark = pytest.mark.anyio

V1_WAYS = [way for way in WAYS if way.is_v1]
AZURE_WAYS = [way for way in WAYS if not way.is_v1]


@contextmanager
def broken_connection() -> Iterator[None]:
    """Raises just that; a timeout would be one of its kind."""
    with pytest.raises(APIConnectionError) as raised:
        yield
    assert not isinstance(raised.value, APITimeoutError)


async def test_a_throttle_is_a_rate_limit_error_that_carries_the_wait(client: Client, scene: Scene) -> None:
    scene.fault("throttle:1500")
    with pytest.raises(RateLimitError) as raised:
        await chat(client)
    headers = raised.value.response.headers
    assert 1 <= int(headers["retry-after-ms"]) <= 1500
    assert headers["retry-after"] == "2"


async def test_the_retries_of_the_package_wait_for_the_milliseconds_they_are_told(
    client: Client, scene: Scene, way: Way, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "openai._base_client")
    scene.fault("throttle:300")
    assert (await chat(client.with_options(max_retries=1))).endswith(QUESTION)
    [waited] = [record.args for record in caplog.records if record.msg.startswith("Retrying request")]
    assert isinstance(waited, tuple)
    seconds, *_ = waited
    assert isinstance(seconds, float)
    if way.target == "simulator":
        assert seconds == 0.3
        assert scene.calls == [2, 0, 0]
    else:
        # By then some of the wait had gone by.
        assert 0 < seconds <= 0.3
        assert [request.status for request in scene.finished()] == [429, 200]
        assert sum(scene.calls) == 4


@pytest.mark.parametrize("way", SIMULATOR_WAYS[:2], ids=str)
async def test_a_server_error_is_retried_by_default(scene: Scene, way: Way) -> None:
    client = way.client(scene).copy(max_retries=DEFAULT_MAX_RETRIES)
    scene.resources[0].fault("status:500", DEFAULT_MAX_RETRIES)
    assert await chat(client) == answer_of("openai1")
    assert scene.calls == [1 + DEFAULT_MAX_RETRIES, 0, 0]
    await settled(client.close())


@pytest.mark.parametrize("way", V1_WAYS, ids=str)
async def test_an_unknown_model_of_v1_is_a_bad_request_of_a_resource_and_not_found_of_all(
    client: Client, way: Way, scene: Scene
) -> None:
    expected = BadRequestError if way.target == "simulator" else NotFoundError
    with pytest.raises(expected) as raised:
        await chat(client, "gpt-99")
    if way.target == "balancer":
        assert raised.value.code == "DeploymentNotFound"
        assert '"gpt-99"' in raised.value.message
        assert scene.calls == [1, 1, 1]


@pytest.mark.parametrize("way", AZURE_WAYS, ids=str)
async def test_an_unknown_deployment_is_not_found(client: Client) -> None:
    with pytest.raises(NotFoundError) as raised:
        await chat(client, "gpt-99")
    assert raised.value.code == "DeploymentNotFound"


async def test_a_content_filter_is_a_bad_request_whose_body_can_be_read(client: Client, scene: Scene) -> None:
    scene.resources[0].fault("content-filter")
    with pytest.raises(BadRequestError) as raised:
        await chat(client)
    error = raised.value
    assert (error.code, error.param) == ("content_filter", "prompt")
    assert isinstance(error.body, dict)
    assert error.body["innererror"]["code"] == "ResponsibleAIPolicyViolation"
    assert error.body["innererror"]["content_filter_result"]["violence"] == {"filtered": True, "severity": "medium"}
    assert scene.calls == [1, 0, 0]


async def test_a_wrong_key_is_an_authentication_error(scene: Scene, way: Way) -> None:
    client = way.client(scene).copy(api_key="not-a-key")
    with pytest.raises(AuthenticationError) as raised:
        await chat(client)
    assert raised.value.code == ("401" if way.target == "simulator" else "unknown_credential")
    await settled(client.close())


@pytest.mark.parametrize("way", SIMULATOR_WAYS, ids=str)
async def test_a_principal_without_the_role_is_an_authentication_error(client: Client, scene: Scene) -> None:
    scene.fault("permission-denied")
    with pytest.raises(AuthenticationError) as raised:
        await chat(client)
    assert raised.value.code == "PermissionDenied"


@pytest.mark.parametrize("way", BALANCER_WAYS, ids=str)
async def test_the_balancer_without_the_role_is_no_fault_of_the_caller(client: Client, scene: Scene) -> None:
    scene.fault("permission-denied")
    with pytest.raises(PermissionDeniedError) as raised:
        await chat(client)
    assert raised.value.code == "operation_not_permitted"


@pytest.mark.parametrize("way", SIMULATOR_WAYS, ids=str)
async def test_forbidden_is_a_permission_denied_error(client: Client, scene: Scene) -> None:
    scene.resources[0].fault("status:403")
    with pytest.raises(PermissionDeniedError):
        await chat(client)


@pytest.mark.parametrize("way", BALANCER_WAYS, ids=str)
@pytest.mark.parametrize("fault", ["unauthorized", "status:403"])
async def test_a_refused_credential_of_the_balancer_is_not_the_callers_fault(
    client: Client, scene: Scene, fault: str
) -> None:
    scene.fault(fault, "always")
    with pytest.raises(InternalServerError) as raised:
        await chat(client)
    assert (raised.value.status_code, raised.value.code) == (502, "backend_auth_failed")


@pytest.mark.parametrize("status", [500, 503])
async def test_a_server_error_that_every_resource_answers_is_passed_on(
    client: Client, scene: Scene, status: int
) -> None:
    scene.fault(f"status:{status}", "always")
    with pytest.raises(InternalServerError, match=rf"simulated {status}") as raised:
        await chat(client)
    assert raised.value.status_code == status


async def test_a_silent_resource_is_a_timeout_when_the_caller_has_no_more_patience(
    client: Client, scene: Scene
) -> None:
    scene.resources[0].fault("hang")
    with pytest.raises(APITimeoutError):
        await chat(client.with_options(timeout=0.2))
    assert scene.calls == [1, 0, 0]
    assert {request.ending for request in scene.finished()} <= {"abandoned"}


@pytest.mark.parametrize("way", SIMULATOR_WAYS, ids=str)
@pytest.mark.parametrize("fault", ["refuse", "reset-before-headers"])
async def test_a_connection_that_ends_without_an_answer_is_a_connection_error(
    client: Client, scene: Scene, fault: str
) -> None:
    scene.resources[0].fault(fault)
    with broken_connection():
        await chat(client)


@pytest.mark.parametrize("way", SIMULATOR_WAYS, ids=str)
async def test_a_closed_port_is_a_connection_error(client: Client, scene: Scene) -> None:
    scene.take_down(scene.resources[0])
    with broken_connection():
        await chat(client)


@pytest.mark.parametrize("way", SIMULATOR_WAYS, ids=str)
async def test_an_error_event_in_a_chat_stream_is_an_api_error(client: Client, scene: Scene) -> None:
    scene.fault("throttle-in-stream:chat-error")
    with pytest.raises(APIError, match="overloaded"):
        await chat_streamed(client, [])


@pytest.mark.parametrize("way", SIMULATOR_WAYS, ids=str)
async def test_an_error_event_in_a_response_stream_is_an_api_error(client: Client, scene: Scene) -> None:
    scene.fault("throttle-in-stream:error-event")
    with pytest.raises(APIError) as raised:
        await response_streamed(client, [])
    assert raised.value.code == "rate_limit_exceeded"


@pytest.mark.parametrize("shape", ["error-event", "response-failed"])
@pytest.mark.parametrize("way", BALANCER_WAYS, ids=str)
async def test_a_throttle_inside_a_response_stream_is_answered_by_another_resource(
    client: Client, scene: Scene, shape: str
) -> None:
    scene.resources[0].fault(f"throttle-in-stream:{shape}:5000")
    assert await response_streamed(client, []) == answer_of("openai2")


@pytest.mark.parametrize("way", BALANCER_WAYS, ids=str)
async def test_a_throttle_inside_a_chat_stream_is_answered_by_another_resource(client: Client, scene: Scene) -> None:
    scene.resources[0].fault("throttle-in-stream:chat-error:5000")
    assert await chat_streamed(client, []) == answer_of("openai2")


@pytest.mark.parametrize("way", BALANCER_WAYS, ids=str)
async def test_a_throttle_inside_every_stream_is_a_rate_limit_error(client: Client, scene: Scene) -> None:
    scene.fault("throttle-in-stream:error-event:5000")
    with pytest.raises(RateLimitError):
        await response_streamed(client, [])


@pytest.mark.parametrize("fault", ["reset-mid-stream:6", "reset-mid-stream:6:mid-event", "truncated:6"])
@pytest.mark.parametrize("read", [chat_streamed, response_streamed])
async def test_a_stream_that_is_cut_never_ends_as_if_it_were_complete(
    client: Client, scene: Scene, way: Way, fault: str, read: Callable[[Client, list[str]], Awaitable[str]]
) -> None:
    scene.resources[0].fault(fault)
    heard: list[str] = []
    if way.target == "simulator":
        with broken_connection():
            await read(client, heard)
    else:
        with pytest.raises(APIError, match=r"Send the request again\.$") as raised:
            await read(client, heard)
        assert (raised.value.code, raised.value.type) == ("stream_broken", "server_error")
        assert [request.ending for request in scene.finished()] == ["broken"]
    answer = answer_of("openai1")
    assert "" != "".join(heard) != answer
    assert answer.startswith("".join(heard))
    assert scene.calls == [1, 0, 0]


@pytest.mark.parametrize("way", SIMULATOR_WAYS, ids=str)
async def test_a_whole_answer_that_is_cut_is_a_connection_error(client: Client, scene: Scene) -> None:
    scene.resources[0].fault("truncated:3")
    with broken_connection():
        await settled(client.responses.create(model=MODEL, input=QUESTION, store=False))
