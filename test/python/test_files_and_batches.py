"""Files, byte for byte, and batches that are made of them."""

import json
from typing import Any, Literal

import pytest
from openai import BadRequestError, ConflictError, NotFoundError
from openai.types import Batch

from asking import EMBEDDING_MODEL, MESSAGES, MODEL, QUESTION, answer_of
from clients import KEEPING_WAYS, Client, each, settled
from stage import Scene

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.usefixtures("nothing_is_left"),
    pytest.mark.parametrize("way", KEEPING_WAYS, ids=str),
]

Endpoint = Literal["/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses"]

ANSWER = answer_of("openai1")
BYTES = bytes(range(256)) * 40
CHAT: Endpoint = "/v1/chat/completions"
CHAT_BODY = {"model": MODEL, "messages": MESSAGES}
BODIES: dict[Endpoint, dict[str, Any]] = {
    "/v1/chat/completions": CHAT_BODY,
    "/v1/completions": {"model": MODEL, "prompt": QUESTION},
    "/v1/embeddings": {"model": EMBEDDING_MODEL, "input": QUESTION, "dimensions": 8},
    "/v1/responses": {"model": MODEL, "input": QUESTION, "store": False},
}


def _line(custom_id: str, body: dict[str, Any] = CHAT_BODY, url: str = CHAT) -> str:
    return json.dumps({"custom_id": custom_id, "method": "POST", "url": url, "body": body})


async def _submitted(client: Client, lines: list[str], endpoint: Endpoint = CHAT) -> Batch:
    content = "".join(f"{line}\n" for line in lines).encode()
    file = await settled(client.files.create(file=("in.jsonl", content), purpose="batch"))
    return await settled(
        client.batches.create(input_file_id=file.id, endpoint=endpoint, completion_window="24h", metadata={"a": "b"})
    )


async def _completed(client: Client, scene: Scene, batch: Batch) -> Batch:
    scene.take_job_steps(3)
    done = await settled(client.batches.retrieve(batch.id))
    assert done.status == "completed"
    return done


async def _lines_of(client: Client, file_id: str | None) -> list[Any]:
    content = await settled(client.files.content(file_id or ""))
    return [json.loads(line) for line in content.text.splitlines()]


async def test_a_file_is_read_back_byte_for_byte(client: Client) -> None:
    file = await settled(client.files.create(file=("a.bin", BYTES), purpose="user_data"))
    assert (file.filename, file.bytes, file.purpose) == ("a.bin", len(BYTES), "user_data")
    assert await settled(client.files.retrieve(file.id)) == file
    content = await settled(client.files.content(file.id))
    assert content.content == BYTES
    assert content.response.headers["content-type"] == "application/octet-stream"


async def test_a_file_is_processed_at_once(client: Client) -> None:
    file = await settled(client.files.create(file=("a.txt", b"a"), purpose="assistants"))
    assert file.id.startswith("assistant-")
    assert await settled(client.files.wait_for_processing(file.id, poll_interval=0)) == file
    assert file.status == "processed"


async def test_a_file_says_when_it_expires(client: Client) -> None:
    file = await settled(
        client.files.create(
            file=("a.txt", b"a"), purpose="batch", expires_after={"anchor": "created_at", "seconds": 3600}
        )
    )
    assert file.expires_at == file.created_at + 3600


async def test_files_are_listed_page_by_page_and_by_purpose(client: Client) -> None:
    ids = []
    for name in ("a", "b", "c"):
        file = await settled(client.files.create(file=(name, b"a"), purpose="user_data"))
        ids.append(file.id)
    other = await settled(client.files.create(file=("d", b"a"), purpose="batch"))
    listed = [file.id async for file in each(client.files.list(purpose="user_data", limit=2, order="asc"))]
    assert listed == ids
    newest = [file.id async for file in each(client.files.list(limit=1))]
    assert newest == [other.id, *reversed(ids)]


async def test_a_file_that_is_deleted_is_not_found(client: Client) -> None:
    file = await settled(client.files.create(file=("a.bin", BYTES), purpose="user_data"))
    deleted = await settled(client.files.delete(file.id))
    assert (deleted.id, deleted.deleted) == (file.id, True)
    with pytest.raises(NotFoundError, match=f"No such File object: {file.id}"):
        await settled(client.files.retrieve(file.id))
    with pytest.raises(NotFoundError):
        await settled(client.files.content(file.id))
    with pytest.raises(NotFoundError):
        await settled(client.files.delete(file.id))


async def test_a_file_for_no_known_purpose_is_a_bad_request(client: Client) -> None:
    purpose: Any = "nothing"
    with pytest.raises(BadRequestError) as raised:
        await settled(client.files.create(file=("a.bin", BYTES), purpose=purpose))
    assert raised.value.param == "purpose"


async def test_a_batch_goes_through_its_statuses(client: Client, scene: Scene) -> None:
    batch = await _submitted(client, [_line("a"), _line("b")])
    assert batch.metadata == {"a": "b"}
    seen = [batch]
    for _ in range(3):
        scene.take_job_steps(1)
        seen.append(await settled(client.batches.retrieve(batch.id)))
    assert [shown.status for shown in seen] == ["validating", "in_progress", "finalizing", "completed"]
    assert [shown.output_file_id is None for shown in seen] == [True, True, True, False]
    done = seen[-1]
    assert done.request_counts is not None
    assert (done.request_counts.total, done.request_counts.completed, done.request_counts.failed) == (2, 2, 0)
    assert done.completed_at == batch.created_at + 3 * scene.job_step_s


@pytest.mark.parametrize("endpoint", BODIES)
async def test_a_batch_answers_what_the_api_itself_answers(client: Client, scene: Scene, endpoint: Endpoint) -> None:
    batch = await _submitted(client, [_line("a", BODIES[endpoint], endpoint)], endpoint)
    done = await _completed(client, scene, batch)
    [line] = await _lines_of(client, done.output_file_id)
    assert (line["custom_id"], line["error"], line["response"]["status_code"]) == ("a", None, 200)
    body = line["response"]["body"]
    match endpoint:
        case "/v1/chat/completions":
            assert body["choices"][0]["message"]["content"] == ANSWER
        case "/v1/completions":
            assert body["choices"][0]["text"] == ANSWER
        case "/v1/embeddings":
            assert len(body["data"][0]["embedding"]) == 8
        case "/v1/responses":
            assert body["output"][0]["content"][0]["text"] == ANSWER


async def test_the_lines_that_are_refused_are_in_the_file_of_errors(client: Client, scene: Scene) -> None:
    after_nothing = {**BODIES["/v1/responses"], "previous_response_id": "resp_unknown"}
    lines = [
        _line("good", BODIES["/v1/responses"], "/v1/responses"),
        _line("bad", after_nothing, "/v1/responses"),
    ]
    done = await _completed(client, scene, await _submitted(client, lines, "/v1/responses"))
    assert done.request_counts is not None
    assert (done.request_counts.completed, done.request_counts.failed) == (1, 1)
    assert [line["custom_id"] for line in await _lines_of(client, done.output_file_id)] == ["good"]
    [refused] = await _lines_of(client, done.error_file_id)
    assert (refused["custom_id"], refused["response"]["status_code"]) == ("bad", 400)


async def test_the_file_of_errors_is_there_and_empty_when_nothing_was_refused(client: Client, scene: Scene) -> None:
    done = await _completed(client, scene, await _submitted(client, [_line("a")]))
    assert done.error_file_id is not None
    content = await settled(client.files.content(done.error_file_id))
    assert content.content == b""


async def test_one_wrong_line_fails_a_batch(client: Client, scene: Scene) -> None:
    batch = await _submitted(client, [_line("a"), "{", _line("a"), _line("b", url="/v1/embeddings")])
    scene.take_job_steps(1)
    failed = await settled(client.batches.retrieve(batch.id))
    assert (failed.status, failed.output_file_id) == ("failed", None)
    assert failed.errors is not None
    assert [(error.line, error.code) for error in failed.errors.data or []] == [
        (2, "invalid_json_line"),
        (3, "duplicate_custom_id"),
        (4, "url_mismatch"),
    ]


async def test_a_batch_is_cancelled_until_it_has_ended(client: Client, scene: Scene) -> None:
    ended = await _completed(client, scene, await _submitted(client, [_line("a")]))
    batch = await _submitted(client, [_line("a")])
    cancelling = await settled(client.batches.cancel(batch.id))
    scene.take_job_steps(3)
    cancelled = await settled(client.batches.retrieve(batch.id))
    assert (cancelling.status, cancelled.status) == ("cancelling", "cancelled")
    with pytest.raises(ConflictError):
        await settled(client.batches.cancel(ended.id))


async def test_batches_are_listed_page_by_page(client: Client) -> None:
    ids = []
    for _ in range(3):
        batch = await _submitted(client, [_line("a")])
        ids.append(batch.id)
    assert [batch.id async for batch in each(client.batches.list(limit=1))] == [*reversed(ids)]


async def test_an_unknown_batch_is_not_found(client: Client) -> None:
    with pytest.raises(NotFoundError):
        await settled(client.batches.retrieve("batch_unknown"))
    with pytest.raises(NotFoundError):
        await settled(client.batches.cancel("batch_unknown"))


async def test_a_batch_of_an_unknown_file_or_endpoint_is_a_bad_request(client: Client) -> None:
    with pytest.raises(BadRequestError) as raised:
        await settled(client.batches.create(input_file_id="file-unknown", endpoint=CHAT, completion_window="24h"))
    assert raised.value.param == "input_file_id"
    file = await settled(client.files.create(file=("in.jsonl", b"{}"), purpose="batch"))
    with pytest.raises(BadRequestError) as raised:
        await settled(client.batches.create(input_file_id=file.id, endpoint="/v1/moderations", completion_window="24h"))
    assert raised.value.param == "endpoint"
