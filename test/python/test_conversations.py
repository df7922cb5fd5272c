"""Conversations: lists of items that responses continue and add to."""

import pytest
from openai import BadRequestError, NotFoundError

from asking import MODEL, QUESTION
from clients import DIRECT_WAYS, V1_KEEPING_WAYS, Client, each, settled

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_is_left")]

FOLLOWING = "And you?"

keeping = pytest.mark.parametrize("way", V1_KEEPING_WAYS, ids=str)
legacy = pytest.mark.parametrize("way", [way for way in DIRECT_WAYS if not way.is_v1], ids=str)


async def _conversation(client: Client, *texts: str) -> str:
    created = await settled(
        client.conversations.create(items=[{"type": "message", "role": "user", "content": text} for text in texts])
    )
    return created.id


async def _said(client: Client, conversation: str) -> list[str]:
    """The texts of a conversation, the oldest first, a page for each."""
    texts = []
    async for item in each(client.conversations.items.list(conversation, limit=1, order="asc")):
        assert item.type == "message"
        for part in item.content:
            assert part.type in ("input_text", "output_text")
            texts.append(part.text)
    return texts


@keeping
async def test_a_conversation_is_shown_and_its_metadata_are_changed(client: Client) -> None:
    created = await settled(client.conversations.create(metadata={"a": "b"}))
    assert created.id.startswith("conv_")
    assert await settled(client.conversations.retrieve(created.id)) == created
    changed = await settled(client.conversations.update(created.id, metadata={"c": "d"}))
    assert (created.metadata, changed.metadata) == ({"a": "b"}, {"c": "d"})


@keeping
async def test_a_conversation_that_is_deleted_is_not_found(client: Client) -> None:
    conversation = await _conversation(client)
    deleted = await settled(client.conversations.delete(conversation))
    assert (deleted.id, deleted.deleted) == (conversation, True)
    with pytest.raises(NotFoundError):
        await settled(client.conversations.retrieve(conversation))
    with pytest.raises(NotFoundError):
        await settled(client.conversations.update(conversation, metadata={}))
    with pytest.raises(NotFoundError):
        await settled(client.conversations.delete(conversation))
    with pytest.raises(NotFoundError):
        [item async for item in each(client.conversations.items.list(conversation))]
    with pytest.raises(NotFoundError):
        await settled(client.responses.create(model=MODEL, input=QUESTION, conversation=conversation))


@keeping
async def test_items_are_added_shown_and_deleted(client: Client) -> None:
    conversation = await _conversation(client, "one")
    added = await settled(
        client.conversations.items.create(
            conversation,
            items=[
                {"type": "message", "role": "user", "content": "two"},
                {"type": "message", "role": "user", "content": "three"},
            ],
        )
    )
    assert await _said(client, conversation) == ["one", "two", "three"]
    two = added.data[0]
    assert two.type == "message"
    assert await settled(client.conversations.items.retrieve(two.id, conversation_id=conversation)) == two
    left = await settled(client.conversations.items.delete(two.id, conversation_id=conversation))
    assert left.id == conversation
    assert await _said(client, conversation) == ["one", "three"]
    with pytest.raises(NotFoundError):
        await settled(client.conversations.items.retrieve(two.id, conversation_id=conversation))


@keeping
async def test_a_response_continues_its_conversation_and_adds_to_it(client: Client) -> None:
    conversation = await _conversation(client, QUESTION)
    response = await settled(client.responses.create(model=MODEL, input=FOLLOWING, conversation=conversation))
    assert response.output_text == f"openai1 answers: {FOLLOWING} (before: {QUESTION})"
    assert response.conversation is not None
    assert response.conversation.id == conversation
    assert await _said(client, conversation) == [QUESTION, FOLLOWING, response.output_text]


@keeping
async def test_a_streamed_response_adds_to_its_conversation_too(client: Client) -> None:
    conversation = await _conversation(client)
    stream = await settled(
        client.responses.create(model=MODEL, input=QUESTION, conversation={"id": conversation}, stream=True)
    )
    *_, last = [event async for event in each(stream)]
    assert last.type == "response.completed"
    assert await _said(client, conversation) == [QUESTION, last.response.output_text]


@keeping
async def test_a_response_continues_a_conversation_or_a_response(client: Client) -> None:
    conversation = await _conversation(client, QUESTION)
    first = await settled(client.responses.create(model=MODEL, input=QUESTION))
    with pytest.raises(BadRequestError) as raised:
        await settled(
            client.responses.create(
                model=MODEL, input=FOLLOWING, conversation=conversation, previous_response_id=first.id
            )
        )
    assert raised.value.code == "mutually_exclusive_parameters"


@legacy
async def test_legacy_paths_know_no_conversations(client: Client) -> None:
    with pytest.raises(NotFoundError, match="Resource not found"):
        await settled(client.conversations.create())
