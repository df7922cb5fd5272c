"""Every API in which a model answers, asked for in every way, of a resource itself and through the balancer."""

import base64
import math

import pytest
from openai import AsyncAzureOpenAI, AzureOpenAI

from asking import EMBEDDING_MODEL, MESSAGES, MODEL, QUESTION, answer_of, chat, chat_streamed
from clients import API_VERSION, PLAIN, Client, Way, each, entered, settled
from stage import Scene

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_is_left")]

ANSWER = answer_of("openai1")
WAV = ("speech.wav", bytes(1234), "audio/wav")
HEARD = "openai1 heard 1234 bytes with gpt-4o-transcribe"


async def test_chat_completion(client: Client) -> None:
    completion = await settled(client.chat.completions.create(model=MODEL, messages=MESSAGES))
    assert completion.choices[0].message.content == ANSWER
    assert completion.choices[0].finish_reason == "stop"
    assert completion.model == MODEL
    assert completion.usage is not None
    assert completion.usage.total_tokens == completion.usage.prompt_tokens + completion.usage.completion_tokens == 11


async def test_chat_completion_streamed(client: Client) -> None:
    stream = await settled(client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True))
    chunks = [chunk async for chunk in each(stream)]
    deltas = [choice.delta.content or "" for chunk in chunks for choice in chunk.choices]
    assert "".join(deltas) == ANSWER
    assert sum(delta != "" for delta in deltas) == 8
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert all(chunk.usage is None for chunk in chunks)


async def test_chat_completion_streamed_with_its_usage_in_a_last_chunk(client: Client) -> None:
    stream = await settled(
        client.chat.completions.create(
            model=MODEL,
            messages=MESSAGES,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    *before, last = [chunk async for chunk in each(stream)]
    assert all(chunk.usage is None for chunk in before)
    assert last.choices == []
    assert last.usage is not None
    assert last.usage.total_tokens == 11


async def test_a_chat_stream_of_azure_begins_with_the_filter_results_of_the_prompt(client: Client, way: Way) -> None:
    stream = await settled(client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True))
    first, *_ = [chunk async for chunk in each(stream)]
    assert ("prompt_filter_results" in (first.model_extra or {})) == (not way.is_v1)


async def test_chat_stream_manager_accumulates_the_answer(client: Client) -> None:
    async with entered(client.chat.completions.stream(model=MODEL, messages=MESSAGES)) as stream:
        completion = await settled(stream.get_final_completion())
    assert completion.choices[0].message.content == ANSWER


async def test_completion(client: Client) -> None:
    completion = await settled(client.completions.create(model=MODEL, prompt=QUESTION))
    assert completion.choices[0].text == ANSWER
    stream = await settled(client.completions.create(model=MODEL, prompt=QUESTION, stream=True))
    assert "".join([chunk.choices[0].text async for chunk in each(stream) if chunk.choices]) == ANSWER


async def test_completion_streamed_with_its_usage_in_a_last_chunk(client: Client) -> None:
    stream = await settled(
        client.completions.create(model=MODEL, prompt=QUESTION, stream=True, stream_options={"include_usage": True})
    )
    *before, last = [chunk async for chunk in each(stream)]
    assert all(chunk.usage is None for chunk in before)
    assert last.choices == []
    assert last.usage is not None
    assert last.usage.total_tokens == 11


async def test_embeddings_are_the_same_in_base64_as_in_numbers(client: Client) -> None:
    texts = ["one", "two", "one"]
    # The package asks for base64 by itself and unpacks it.
    packed = await settled(client.embeddings.create(model=EMBEDDING_MODEL, input=texts, dimensions=8))
    plain = await settled(
        client.embeddings.create(model=EMBEDDING_MODEL, input=texts, dimensions=8, encoding_format="float")
    )
    first, second, third = (item.embedding for item in packed.data)
    assert [item.embedding for item in plain.data] == [pytest.approx(vector) for vector in (first, second, third)]
    assert len(first) == 8
    assert first == third != second
    assert math.hypot(*first) == pytest.approx(1)
    assert packed.usage.prompt_tokens == plain.usage.prompt_tokens > 0


async def test_embeddings_in_base64_as_it_is(client: Client) -> None:
    created = await settled(
        client.embeddings.create(model=EMBEDDING_MODEL, input="one", dimensions=8, encoding_format="base64")
    )
    raw: object = created.data[0].embedding
    assert isinstance(raw, str)
    assert len(base64.b64decode(raw)) == 8 * 4


async def test_response(client: Client) -> None:
    response = await settled(client.responses.create(model=MODEL, input=QUESTION, store=False))
    assert response.output_text == ANSWER
    assert response.status == "completed"
    assert response.usage is not None
    assert response.usage.total_tokens == 11


async def test_response_streamed_in_events_numbered_in_order(client: Client) -> None:
    stream = await settled(
        client.responses.create(model=MODEL, input=[{"role": "user", "content": QUESTION}], store=False, stream=True)
    )
    events = [event async for event in each(stream)]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == ANSWER
    assert [event.type for event in events[:4]] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
    ]
    assert [event.type for event in events[-4:]] == [
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]


async def test_response_stream_manager_accumulates_the_answer(client: Client) -> None:
    async with entered(client.responses.stream(model=MODEL, input=QUESTION, store=False)) as stream:
        response = await settled(stream.get_final_response())
    assert response.output_text == ANSWER
    assert response.status == "completed"


async def test_models(client: Client) -> None:
    listed = [model.id async for model in each(client.models.list())]
    assert sorted(listed) == ["gpt-4o-transcribe", MODEL, "gpt-image-1", EMBEDDING_MODEL, "tts-hd"]
    retrieved = await settled(client.models.retrieve(MODEL))
    assert retrieved.id == MODEL


async def test_transcription(client: Client) -> None:
    whole = await settled(client.audio.transcriptions.create(model="gpt-4o-transcribe", file=WAV))
    assert whole.text == HEARD
    text = await settled(
        client.audio.transcriptions.create(model="gpt-4o-transcribe", file=WAV, response_format="text")
    )
    assert text.strip() == HEARD


# The package does not know which models translate, and warns of all.
@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")
async def test_translation(client: Client) -> None:
    translation = await settled(client.audio.translations.create(model="gpt-4o-transcribe", file=WAV))
    assert translation.text == HEARD


async def test_speech(client: Client) -> None:
    speech = await settled(client.audio.speech.create(model="tts-hd", voice="alloy", input="hello"))
    assert speech.response.headers["content-type"] == "audio/mpeg"
    assert len(speech.content) == 4096


async def test_speech_streamed_into_pieces(client: Client) -> None:
    asked = client.audio.speech.with_streaming_response.create(model="tts-hd", voice="alloy", input="hello")
    async with entered(asked) as speech:
        pieces = [piece async for piece in each(speech.iter_bytes(512))]
    assert [len(piece) for piece in pieces] == [512] * 8


async def test_images(client: Client) -> None:
    generated = await settled(client.images.generate(model="gpt-image-1", prompt="a cat", n=2))
    assert generated.data is not None
    assert [(image.b64_json or "")[:6] for image in generated.data] == ["iVBORw"] * 2


async def test_image_edit(client: Client) -> None:
    image = ("cat.png", bytes(99), "image/png")
    edited = await settled(client.images.edit(model="gpt-image-1", prompt="a hat", image=image))
    assert edited.data is not None
    assert len(edited.data) == 1


async def test_a_client_of_one_deployment_gets_its_answers_too(scene: Scene, way: Way) -> None:
    target = scene.target(way.target)
    make = AsyncAzureOpenAI if way.is_async else AzureOpenAI
    client = make(
        azure_endpoint=target.url,
        azure_deployment=MODEL,
        api_key=target.key,
        api_version=API_VERSION,
        **PLAIN,
    )
    assert await chat(client) == ANSWER
    assert await chat_streamed(client, []) == ANSWER
    response = await settled(client.responses.create(model=MODEL, input=QUESTION, store=False))
    assert response.output_text == ANSWER
    await settled(client.close())
