"""Images, recordings and speech: every form of answer there is, whole and streamed."""

import base64
import json
from typing import Literal

import pytest

from clients import FEW_WAYS, Client, each, entered, settled

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.usefixtures("nothing_is_left"),
    pytest.mark.parametrize("way", FEW_WAYS, ids=str),
]

IMAGE_MODEL = "gpt-image-1"
HEARING_MODEL = "gpt-4o-transcribe"
SPEAKING_MODEL = "tts-hd"
CAT = ("cat.png", bytes(99), "image/png")
# Taken for a little more than a second of sound.
WAV = ("speech.wav", bytes(32_001), "audio/wav")
HEARD = f"openai1 heard 32001 bytes with {HEARING_MODEL}"
SRT = f"1\n00:00:00,000 --> 00:00:02,000\n{HEARD}\n\n"
VTT = f"WEBVTT\n\n00:00:00.000 --> 00:00:02.000\n{HEARD}\n\n"
PNG = b"\x89PNG"

# The package does not know which models translate, and warns of all.
translating = pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")


async def test_images_are_as_they_were_asked_for(client: Client) -> None:
    images = await settled(
        client.images.generate(
            model=IMAGE_MODEL,
            prompt="a cat",
            n=2,
            size="1536x1024",
            quality="low",
            background="transparent",
            output_format="webp",
        )
    )
    assert (images.size, images.quality) == ("1536x1024", "low")
    assert (images.background, images.output_format) == ("transparent", "webp")
    assert images.data is not None
    assert [base64.b64decode(image.b64_json or "")[:4] for image in images.data] == [PNG] * 2
    assert images.usage is not None
    assert images.usage.total_tokens == images.usage.input_tokens + images.usage.output_tokens > 0


async def test_images_are_links_when_asked_for(client: Client) -> None:
    images = await settled(client.images.generate(model=IMAGE_MODEL, prompt="a cat", response_format="url"))
    assert images.data is not None
    assert [(image.url or "")[:8] for image in images.data] == ["https://"]
    assert images.data[0].b64_json is None


async def test_partial_images_are_streamed_before_the_image(client: Client) -> None:
    stream = await settled(client.images.generate(model=IMAGE_MODEL, prompt="a cat", stream=True, partial_images=2))
    events = [event async for event in each(stream)]
    *partial, done = events
    assert [event.partial_image_index for event in partial if event.type == "image_generation.partial_image"] == [0, 1]
    assert len(partial) == 2
    assert done.type == "image_generation.completed"
    assert done.usage.total_tokens > 0
    assert [base64.b64decode(event.b64_json)[:4] for event in events] == [PNG] * 3


async def test_several_images_are_edited_with_a_mask(client: Client) -> None:
    edited = await settled(
        client.images.edit(
            model=IMAGE_MODEL, prompt="a hat", image=[CAT, CAT], mask=CAT, n=2, size="1024x1536", quality="low"
        )
    )
    assert edited.data is not None
    assert [base64.b64decode(image.b64_json or "")[:4] for image in edited.data] == [PNG] * 2
    assert (edited.size, edited.quality) == ("1024x1536", "low")


async def test_an_edit_is_streamed_with_its_partial_images(client: Client) -> None:
    stream = await settled(
        client.images.edit(model=IMAGE_MODEL, prompt="a hat", image=CAT, stream=True, partial_images=1)
    )
    assert [event.type async for event in each(stream)] == ["image_edit.partial_image", "image_edit.completed"]


async def test_a_transcription_is_a_text_or_subtitles(client: Client) -> None:
    create = client.audio.transcriptions.create
    text: object = await settled(create(model=HEARING_MODEL, file=WAV, response_format="text"))
    assert text == f"{HEARD}\n"
    srt: object = await settled(create(model=HEARING_MODEL, file=WAV, response_format="srt"))
    assert srt == SRT
    vtt: object = await settled(create(model=HEARING_MODEL, file=WAV, response_format="vtt"))
    assert vtt == VTT


async def test_a_transcription_is_json_with_its_usage(client: Client) -> None:
    heard = await settled(client.audio.transcriptions.create(model=HEARING_MODEL, file=WAV, response_format="json"))
    assert heard.text == HEARD
    assert heard.usage is not None
    assert heard.usage.type == "tokens"
    assert heard.usage.total_tokens == heard.usage.input_tokens + heard.usage.output_tokens


async def test_a_transcription_is_verbose(client: Client) -> None:
    heard = await settled(
        client.audio.transcriptions.create(
            model=HEARING_MODEL, file=WAV, response_format="verbose_json", timestamp_granularities=["segment"]
        )
    )
    assert (heard.text, heard.duration, heard.language) == (HEARD, 2, "english")
    assert [(segment.start, segment.end, segment.text) for segment in heard.segments or []] == [(0, 2, HEARD)]


async def test_a_transcription_is_streamed_word_by_word(client: Client) -> None:
    stream = await settled(client.audio.transcriptions.create(model=HEARING_MODEL, file=WAV, stream=True))
    events = [event async for event in each(stream)]
    deltas = [event.delta for event in events if event.type == "transcript.text.delta"]
    assert len(deltas) == len(HEARD.split())
    assert "".join(deltas) == HEARD
    assert events[-1].type == "transcript.text.done"
    assert events[-1].text == HEARD
    assert events[-1].usage is not None


@translating
async def test_a_translation_is_a_text_or_subtitles(client: Client) -> None:
    create = client.audio.translations.create
    text: object = await settled(create(model=HEARING_MODEL, file=WAV, response_format="text"))
    assert text == f"{HEARD}\n"
    srt: object = await settled(create(model=HEARING_MODEL, file=WAV, response_format="srt"))
    assert srt == SRT
    vtt: object = await settled(create(model=HEARING_MODEL, file=WAV, response_format="vtt"))
    assert vtt == VTT


@translating
async def test_a_translation_is_verbose(client: Client) -> None:
    heard = await settled(
        client.audio.translations.create(model=HEARING_MODEL, file=WAV, response_format="verbose_json")
    )
    assert (heard.text, heard.duration, heard.language) == (HEARD, 2, "english")


async def test_speech_comes_in_the_format_that_was_asked_for(client: Client) -> None:
    formats: tuple[Literal["mp3", "opus", "aac", "flac", "wav", "pcm"], ...] = (
        "mp3",
        "opus",
        "aac",
        "flac",
        "wav",
        "pcm",
    )
    for wanted in formats:
        speech = await settled(
            client.audio.speech.create(model=SPEAKING_MODEL, voice="alloy", input="hello", response_format=wanted)
        )
        assert speech.response.headers["content-type"] == f"audio/{'mpeg' if wanted == 'mp3' else wanted}"
        assert len(speech.content) == 4096


async def test_speech_is_streamed_in_events(client: Client) -> None:
    whole = await settled(client.audio.speech.create(model=SPEAKING_MODEL, voice="alloy", input="hello"))
    asked = client.audio.speech.with_streaming_response.create(
        model=SPEAKING_MODEL, voice="alloy", input="hello", stream_format="sse"
    )
    async with entered(asked) as speech:
        assert speech.headers["content-type"].startswith("text/event-stream")
        lines = [line async for line in each(speech.iter_lines())]
    # The package has no types for these events.
    events = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: {")]
    deltas = [base64.b64decode(event["audio"]) for event in events if event["type"] == "speech.audio.delta"]
    assert len(deltas) > 1
    assert b"".join(deltas) == whole.content
    assert events[-1]["type"] == "speech.audio.done"
    assert events[-1]["usage"]["total_tokens"] > 0
