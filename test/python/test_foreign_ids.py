"""What one resource made, sent to another: its ids mean nothing there."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from openai import BadRequestError, NotFoundError

from asking import MESSAGES, MODEL, QUESTION
from clients import DIRECT_WAYS, Client, Way, settled
from stage import Scene

pytestmark = pytest.mark.anyio

everywhere = pytest.mark.parametrize("way", DIRECT_WAYS, ids=str)
on_v1 = pytest.mark.parametrize("way", [way for way in DIRECT_WAYS if way.is_v1], ids=str)


@pytest.fixture
async def other(way: Way, scene: Scene) -> AsyncIterator[Client]:
    """The same client of the second resource."""
    made = way.make(scene.resources[1])
    yield made
    await settled(made.close())


@everywhere
async def test_a_response_is_not_found_and_cannot_be_continued(client: Client, other: Client) -> None:
    created = await settled(client.responses.create(model=MODEL, input=QUESTION))
    with pytest.raises(NotFoundError):
        await settled(other.responses.retrieve(created.id))
    with pytest.raises(BadRequestError) as raised:
        await settled(other.responses.create(model=MODEL, input=QUESTION, previous_response_id=created.id))
    assert raised.value.code == "previous_response_not_found"


@everywhere
async def test_an_item_cannot_be_referred_to(client: Client, other: Client) -> None:
    created = await settled(client.responses.create(model=MODEL, input=QUESTION))
    item_id = created.output[0].id
    assert item_id is not None
    with pytest.raises(BadRequestError, match=f"Item with id '{item_id}' not found"):
        await settled(other.responses.create(model=MODEL, input=[{"type": "item_reference", "id": item_id}]))


@everywhere
async def test_encrypted_reasoning_cannot_be_verified(client: Client, other: Client) -> None:
    created = await settled(
        client.responses.create(
            model=MODEL,
            input=QUESTION,
            reasoning={"effort": "low"},
            include=["reasoning.encrypted_content"],
            store=False,
        )
    )
    output: Any = [item.model_dump(exclude_none=True) for item in created.output]
    with pytest.raises(BadRequestError, match="could not be verified") as raised:
        await settled(other.responses.create(model=MODEL, input=output, store=False))
    assert raised.value.code == "invalid_encrypted_content"


@everywhere
async def test_a_file_is_not_found_and_makes_no_batch(client: Client, other: Client) -> None:
    file = await settled(client.files.create(file=("in.jsonl", b"{}"), purpose="batch"))
    with pytest.raises(NotFoundError):
        await settled(other.files.content(file.id))
    with pytest.raises(BadRequestError) as raised:
        await settled(
            other.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
        )
    assert raised.value.param == "input_file_id"
    batch = await settled(
        client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
    )
    with pytest.raises(NotFoundError):
        await settled(other.batches.retrieve(batch.id))


@on_v1
async def test_conversations_and_chat_completions_are_not_found(client: Client, other: Client) -> None:
    conversation = await settled(client.conversations.create())
    with pytest.raises(NotFoundError, match="Conversation with id"):
        await settled(other.conversations.retrieve(conversation.id))
    completion = await settled(client.chat.completions.create(model=MODEL, messages=MESSAGES, store=True))
    with pytest.raises(NotFoundError, match="Chat completion"):
        await settled(other.chat.completions.retrieve(completion.id))
