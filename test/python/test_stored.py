"""Responses and chat completions that a resource keeps: shown, listed, continued, cancelled, deleted."""

from typing import Any

import pytest
from openai import BadRequestError, NotFoundError
from openai.types.responses import ResponseInputParam

from asking import MESSAGES, MODEL, QUESTION, answer_of
from clients import DIRECT_WAYS, KEEPING_WAYS, V1_KEEPING_WAYS, Client, each, entered, settled
from stage import Scene

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_is_left")]

ANSWER = answer_of("openai1")
FOLLOWING = "And you?"

keeping = pytest.mark.parametrize("way", KEEPING_WAYS, ids=str)
keeping_v1 = pytest.mark.parametrize("way", V1_KEEPING_WAYS, ids=str)
legacy = pytest.mark.parametrize("way", [way for way in DIRECT_WAYS if not way.is_v1], ids=str)


async def _texts_of_input(client: Client, response_id: str) -> list[str]:
    """The texts of what a response was asked with, the oldest first, a page for each."""
    texts = []
    async for item in each(client.responses.input_items.list(response_id, limit=1, order="asc")):
        assert item.type == "message"
        for part in item.content:
            assert part.type in ("input_text", "output_text")
            texts.append(part.text)
    return texts


@keeping
async def test_a_response_is_shown_again_as_it_was_answered(client: Client) -> None:
    created = await settled(
        client.responses.create(
            model=MODEL, input=QUESTION, instructions="Be brief.", metadata={"a": "b"}, temperature=0.3
        )
    )
    shown = await settled(client.responses.retrieve(created.id))
    assert shown == created
    assert (shown.output_text, shown.instructions, shown.metadata) == (ANSWER, "Be brief.", {"a": "b"})


@keeping
async def test_a_response_that_was_streamed_is_kept(client: Client) -> None:
    async with entered(client.responses.stream(model=MODEL, input=QUESTION)) as stream:
        said = await settled(stream.get_final_response())
    shown = await settled(client.responses.retrieve(said.id))
    assert (shown.id, shown.output_text) == (said.id, ANSWER)


@keeping
async def test_a_response_that_is_deleted_is_not_found(client: Client) -> None:
    created = await settled(client.responses.create(model=MODEL, input=QUESTION))
    await settled(client.responses.delete(created.id))
    with pytest.raises(NotFoundError) as raised:
        await settled(client.responses.retrieve(created.id))
    assert f"Response with id '{created.id}' not found." in raised.value.message


@keeping
async def test_a_response_that_is_not_to_be_stored_is_not_found(client: Client) -> None:
    created = await settled(client.responses.create(model=MODEL, input=QUESTION, store=False))
    with pytest.raises(NotFoundError):
        await settled(client.responses.retrieve(created.id))


@keeping
async def test_an_unknown_response_is_not_found_whatever_is_asked_of_it(client: Client) -> None:
    with pytest.raises(NotFoundError):
        await settled(client.responses.retrieve("resp_unknown"))
    with pytest.raises(NotFoundError):
        await settled(client.responses.delete("resp_unknown"))
    with pytest.raises(NotFoundError):
        await settled(client.responses.cancel("resp_unknown"))
    with pytest.raises(NotFoundError):
        [item async for item in each(client.responses.input_items.list("resp_unknown"))]


@keeping
async def test_the_input_of_a_response_is_listed_page_by_page(client: Client) -> None:
    texts = ["one", "two", "three"]
    asked: ResponseInputParam = [{"role": "user", "content": text} for text in texts]
    created = await settled(client.responses.create(model=MODEL, input=asked))
    assert await _texts_of_input(client, created.id) == texts


@keeping
async def test_a_response_goes_on_after_another(client: Client) -> None:
    first = await settled(client.responses.create(model=MODEL, input=QUESTION))
    second = await settled(client.responses.create(model=MODEL, input=FOLLOWING, previous_response_id=first.id))
    assert second.output_text == f"openai1 answers: {FOLLOWING} (before: {QUESTION})"
    assert second.previous_response_id == first.id
    assert first.usage is not None
    assert second.usage is not None
    assert second.usage.input_tokens > first.usage.total_tokens


@keeping
async def test_a_response_after_an_unknown_one_is_a_bad_request(client: Client) -> None:
    with pytest.raises(BadRequestError) as raised:
        await settled(client.responses.create(model=MODEL, input=FOLLOWING, previous_response_id="resp_unknown"))
    assert (raised.value.code, raised.value.param) == ("previous_response_not_found", "previous_response_id")


@keeping
async def test_the_result_of_a_call_is_all_that_has_to_be_sent_after_it(client: Client) -> None:
    first = await settled(
        client.responses.create(
            model=MODEL,
            input=QUESTION,
            tools=[{"type": "function", "name": "clock", "parameters": {"type": "object"}, "strict": False}],
            tool_choice="required",
        )
    )
    [call] = first.output
    assert call.type == "function_call"
    second = await settled(
        client.responses.create(
            model=MODEL,
            previous_response_id=first.id,
            input=[{"type": "function_call_output", "call_id": call.call_id, "output": "noon"}],
        )
    )
    assert [item.type for item in second.output] == ["message"]


@keeping
async def test_items_are_sent_back_by_their_ids(client: Client) -> None:
    first = await settled(client.responses.create(model=MODEL, input=QUESTION))
    [asked] = [item async for item in each(client.responses.input_items.list(first.id))]
    [said] = first.output
    assert asked.id is not None
    assert said.id is not None
    second = await settled(
        client.responses.create(
            model=MODEL,
            input=[
                {"type": "item_reference", "id": asked.id},
                {"type": "item_reference", "id": said.id},
                {"role": "user", "content": FOLLOWING},
            ],
        )
    )
    assert await _texts_of_input(client, second.id) == [QUESTION, first.output_text, FOLLOWING]


@keeping
async def test_a_reference_to_an_unknown_item_is_a_bad_request(client: Client) -> None:
    with pytest.raises(BadRequestError, match="Item with id 'msg_unknown' not found"):
        await settled(client.responses.create(model=MODEL, input=[{"type": "item_reference", "id": "msg_unknown"}]))


@keeping
async def test_reasoning_that_is_encrypted_goes_back_to_the_resource_that_made_it(client: Client) -> None:
    first = await settled(
        client.responses.create(
            model=MODEL,
            input=QUESTION,
            reasoning={"effort": "low"},
            include=["reasoning.encrypted_content"],
            store=False,
        )
    )
    thought = first.output[0]
    assert thought.type == "reasoning"
    assert thought.encrypted_content
    # As the package's own guide does it: the output goes back as it came.
    output: Any = [item.model_dump(exclude_none=True) for item in first.output]
    second = await settled(
        client.responses.create(model=MODEL, input=[*output, {"role": "user", "content": FOLLOWING}], store=False)
    )
    assert second.output_text.startswith(f"openai1 answers: {FOLLOWING}")


@keeping
async def test_a_response_in_the_background_is_polled_until_it_is_completed(client: Client, scene: Scene) -> None:
    created = await settled(client.responses.create(model=MODEL, input=QUESTION, background=True))
    seen = [created.status]
    for _ in range(2):
        scene.take_job_steps(1)
        shown = await settled(client.responses.retrieve(created.id))
        seen.append(shown.status)
    assert seen == ["queued", "in_progress", "completed"]
    assert (created.output_text, shown.output_text) == ("", ANSWER)


@keeping
async def test_a_response_in_the_background_is_cancelled(client: Client, scene: Scene) -> None:
    created = await settled(client.responses.create(model=MODEL, input=QUESTION, background=True))
    cancelled = await settled(client.responses.cancel(created.id))
    assert cancelled.status == "cancelled"
    scene.take_job_steps(2)
    shown = await settled(client.responses.retrieve(created.id))
    assert shown.status == "cancelled"


@keeping
async def test_a_response_that_is_not_in_the_background_cannot_be_cancelled(client: Client) -> None:
    created = await settled(client.responses.create(model=MODEL, input=QUESTION))
    with pytest.raises(BadRequestError, match="Cannot cancel a synchronous response"):
        await settled(client.responses.cancel(created.id))


@keeping
async def test_a_response_in_the_background_has_to_be_stored(client: Client) -> None:
    with pytest.raises(BadRequestError) as raised:
        await settled(client.responses.create(model=MODEL, input=QUESTION, background=True, store=False))
    assert raised.value.param == "store"


@keeping
async def test_a_stream_from_the_background_is_read_again_from_any_event(client: Client) -> None:
    stream = await settled(client.responses.create(model=MODEL, input=QUESTION, background=True, stream=True))
    events = [event async for event in each(stream)]
    created = events[0]
    assert created.type == "response.created"
    assert events[1].type == "response.queued"
    again = await settled(client.responses.retrieve(created.response.id, stream=True, starting_after=5))
    assert [event async for event in each(again)] == events[6:]


@keeping
async def test_the_stream_helper_reads_a_stream_from_the_background_again(client: Client) -> None:
    stream = await settled(client.responses.create(model=MODEL, input=QUESTION, background=True, stream=True))
    created, *_ = [event async for event in each(stream)]
    assert created.type == "response.created"
    async with entered(client.responses.stream(response_id=created.response.id, starting_after=2)) as again:
        events = [event async for event in each(again)]
        response = await settled(again.get_final_response())
    assert events[0].sequence_number == 3
    assert response.output_text == ANSWER


@keeping
async def test_what_was_not_streamed_from_the_background_cannot_be_streamed_later(client: Client) -> None:
    created = await settled(client.responses.create(model=MODEL, input=QUESTION))
    with pytest.raises(BadRequestError) as raised:
        await settled(client.responses.retrieve(created.id, stream=True))
    assert raised.value.param == "stream"


@keeping_v1
async def test_a_chat_completion_is_kept_when_asked_to(client: Client) -> None:
    created = await settled(
        client.chat.completions.create(model=MODEL, messages=MESSAGES, store=True, metadata={"a": "b"})
    )
    shown = await settled(client.chat.completions.retrieve(created.id))
    assert (shown.id, shown.choices, shown.usage) == (created.id, created.choices, created.usage)
    assert shown.metadata == {"a": "b"}


@keeping_v1
async def test_a_chat_completion_is_kept_only_when_asked_to(client: Client) -> None:
    created = await settled(client.chat.completions.create(model=MODEL, messages=MESSAGES))
    with pytest.raises(NotFoundError):
        await settled(client.chat.completions.retrieve(created.id))
    assert [kept.id async for kept in each(client.chat.completions.list())] == []


@keeping_v1
async def test_chat_completions_are_listed_page_by_page(client: Client) -> None:
    ids = []
    for _ in range(3):
        created = await settled(client.chat.completions.create(model=MODEL, messages=MESSAGES, store=True))
        ids.append(created.id)
    listed = [kept.id async for kept in each(client.chat.completions.list(limit=2))]
    assert listed == ids
    assert [kept.id async for kept in each(client.chat.completions.list(model="another"))] == []


@keeping_v1
async def test_the_metadata_of_a_chat_completion_are_changed(client: Client) -> None:
    created = await settled(client.chat.completions.create(model=MODEL, messages=MESSAGES, store=True))
    changed = await settled(client.chat.completions.update(created.id, metadata={"c": "d"}))
    shown = await settled(client.chat.completions.retrieve(created.id))
    for completion in (changed, shown):
        assert completion.metadata == {"c": "d"}


@keeping_v1
async def test_the_messages_of_a_chat_completion_are_listed(client: Client) -> None:
    created = await settled(
        client.chat.completions.create(
            model=MODEL, messages=[{"role": "system", "content": "Be brief."}, *MESSAGES], store=True
        )
    )
    listed = each(client.chat.completions.messages.list(created.id, limit=1))
    assert [message.content async for message in listed] == ["Be brief.", QUESTION]


@keeping_v1
async def test_a_chat_completion_that_is_deleted_is_not_found(client: Client) -> None:
    created = await settled(client.chat.completions.create(model=MODEL, messages=MESSAGES, store=True))
    deleted = await settled(client.chat.completions.delete(created.id))
    assert (deleted.id, deleted.deleted) == (created.id, True)
    with pytest.raises(NotFoundError):
        await settled(client.chat.completions.retrieve(created.id))
    with pytest.raises(NotFoundError):
        await settled(client.chat.completions.update(created.id, metadata={}))
    with pytest.raises(NotFoundError):
        await settled(client.chat.completions.delete(created.id))
    with pytest.raises(NotFoundError):
        [message async for message in each(client.chat.completions.messages.list(created.id))]


@legacy
async def test_legacy_paths_keep_no_chat_completions(client: Client) -> None:
    created = await settled(client.chat.completions.create(model=MODEL, messages=MESSAGES, store=True))
    with pytest.raises(NotFoundError, match="Resource not found"):
        await settled(client.chat.completions.retrieve(created.id))
