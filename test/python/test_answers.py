"""How long an answer is and how many there are, what it thought before, and what of its prompt was in the cache."""

import pytest
from openai import AsyncAzureOpenAI, AzureOpenAI, BadRequestError

from asking import MESSAGES, MODEL, QUESTION, answer_of
from clients import FEW_WAYS, PLAIN, Client, Way, each, settled
from stage import Scene

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.usefixtures("nothing_is_left"),
    pytest.mark.parametrize("way", FEW_WAYS, ids=str),
]

ANSWER = answer_of("openai1")
# An answer has eight tokens.
CUT = ANSWER[: len(ANSWER) * 2 // 8]
# Of 2,000 tokens of four characters.
LONG = "abc " * 2000
CACHED = 1920


async def test_as_many_choices_as_asked_for(client: Client) -> None:
    completion = await settled(client.chat.completions.create(model=MODEL, messages=MESSAGES, n=3))
    assert [choice.message.content for choice in completion.choices] == [ANSWER] * 3
    assert [choice.index for choice in completion.choices] == [0, 1, 2]
    assert completion.usage is not None
    assert completion.usage.completion_tokens == 24
    texts = await settled(client.completions.create(model=MODEL, prompt=QUESTION, n=2))
    assert [(choice.index, choice.text) for choice in texts.choices] == [(0, ANSWER), (1, ANSWER)]


async def test_as_many_choices_in_a_stream(client: Client) -> None:
    stream = await settled(client.chat.completions.create(model=MODEL, messages=MESSAGES, n=2, stream=True))
    said = {0: "", 1: ""}
    async for chunk in each(stream):
        for choice in chunk.choices:
            said[choice.index] += choice.delta.content or ""
    assert said == {0: ANSWER, 1: ANSWER}


async def test_a_chat_completion_is_cut_at_its_limit(client: Client) -> None:
    for completion in (
        await settled(client.chat.completions.create(model=MODEL, messages=MESSAGES, max_tokens=2)),
        await settled(client.chat.completions.create(model=MODEL, messages=MESSAGES, max_completion_tokens=2)),
    ):
        assert (completion.choices[0].finish_reason, completion.choices[0].message.content) == ("length", CUT)
        assert completion.usage is not None
        assert completion.usage.completion_tokens == 2
    stream = await settled(
        client.chat.completions.create(model=MODEL, messages=MESSAGES, max_completion_tokens=2, stream=True)
    )
    choices = [choice async for chunk in each(stream) for choice in chunk.choices]
    assert "".join(choice.delta.content or "" for choice in choices) == CUT
    assert choices[-1].finish_reason == "length"


async def test_a_completion_is_cut_at_its_limit(client: Client) -> None:
    completion = await settled(client.completions.create(model=MODEL, prompt=QUESTION, max_tokens=2))
    assert (completion.choices[0].finish_reason, completion.choices[0].text) == ("length", CUT)


async def test_a_response_is_incomplete_at_its_limit(client: Client) -> None:
    whole = await settled(client.responses.create(model=MODEL, input=QUESTION, max_output_tokens=2, store=False))
    stream = await settled(
        client.responses.create(model=MODEL, input=QUESTION, max_output_tokens=2, store=False, stream=True)
    )
    last = [event async for event in each(stream)][-1]
    assert last.type == "response.incomplete"
    for response in (whole, last.response):
        assert (response.status, response.output_text) == ("incomplete", CUT)
        assert response.incomplete_details is not None
        assert response.incomplete_details.reason == "max_output_tokens"
        assert response.usage is not None
        assert response.usage.output_tokens == 2


async def test_an_answer_that_the_filter_ends_says_so(client: Client, scene: Scene) -> None:
    scene.resources[0].fault("content-filter:answer", 2)
    completion = await settled(client.chat.completions.create(model=MODEL, messages=MESSAGES))
    assert completion.choices[0].finish_reason == "content_filter"
    response = await settled(client.responses.create(model=MODEL, input=QUESTION, store=False))
    assert response.incomplete_details is not None
    assert response.incomplete_details.reason == "content_filter"


async def test_reasoning_comes_first_and_is_counted(client: Client) -> None:
    completion = await settled(client.chat.completions.create(model=MODEL, messages=MESSAGES, reasoning_effort="low"))
    assert completion.usage is not None
    assert completion.usage.completion_tokens_details is not None
    assert completion.usage.completion_tokens_details.reasoning_tokens == 64
    response = await settled(
        client.responses.create(
            model=MODEL, input=QUESTION, reasoning={"effort": "high", "summary": "auto"}, store=False
        )
    )
    thought, message = response.output
    assert (thought.type, message.type) == ("reasoning", "message")
    assert thought.type == "reasoning"
    assert thought.summary[0].text != ""
    assert response.usage is not None
    assert response.usage.output_tokens_details.reasoning_tokens == 256


async def test_a_summary_of_the_reasoning_is_streamed(client: Client) -> None:
    stream = await settled(
        client.responses.create(
            model=MODEL, input=QUESTION, reasoning={"effort": "low", "summary": "auto"}, store=False, stream=True
        )
    )
    events = [event async for event in each(stream)]
    deltas = [event.delta for event in events if event.type == "response.reasoning_summary_text.delta"]
    [done] = [event.text for event in events if event.type == "response.reasoning_summary_text.done"]
    assert "".join(deltas) == done != ""
    assert [event.sequence_number for event in events] == list(range(len(events)))


async def test_a_limit_that_reasoning_used_up_leaves_no_answer(client: Client) -> None:
    response = await settled(
        client.responses.create(
            model=MODEL, input=QUESTION, reasoning={"effort": "low"}, max_output_tokens=64, store=False
        )
    )
    assert (response.status, response.output_text) == ("incomplete", "")


async def test_a_prompt_is_in_the_cache_the_second_time(client: Client, scene: Scene) -> None:
    async def cached() -> int | None:
        completion = await settled(
            client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": LONG}])
        )
        assert completion.usage is not None
        assert completion.usage.prompt_tokens_details is not None
        return completion.usage.prompt_tokens_details.cached_tokens

    assert [await cached(), await cached()] == [0, CACHED]
    scene.pass_seconds(301)
    assert await cached() == 0


async def test_the_instructions_of_a_response_are_in_the_cache_the_second_time(client: Client) -> None:
    cached = []
    for key in ("one", "one", "two"):
        response = await settled(
            client.responses.create(model=MODEL, instructions=LONG, input=QUESTION, prompt_cache_key=key, store=False)
        )
        assert response.usage is not None
        cached.append(response.usage.input_tokens_details.cached_tokens)
    assert cached == [0, CACHED, 0]


async def test_the_last_chunk_of_a_stream_says_what_was_in_the_cache(client: Client) -> None:
    cached = []
    for _ in range(2):
        stream = await settled(
            client.chat.completions.create(
                model=MODEL,
                messages=[{"role": "user", "content": LONG}],
                stream=True,
                stream_options={"include_usage": True},
            )
        )
        *_, last = [chunk async for chunk in each(stream)]
        assert last.usage is not None
        assert last.usage.prompt_tokens_details is not None
        cached.append(last.usage.prompt_tokens_details.cached_tokens)
    assert cached == [0, CACHED]


async def test_stream_options_are_refused_beside_data_of_ones_own(client: Client) -> None:
    with pytest.raises(BadRequestError, match="Validation error at #/stream_options"):
        await settled(
            client.chat.completions.create(
                model=MODEL,
                messages=MESSAGES,
                stream=True,
                stream_options={"include_usage": True},
                extra_body={"data_sources": [{"type": "azure_search"}]},
            )
        )


async def test_stream_options_are_unknown_to_an_older_api_version(scene: Scene, way: Way) -> None:
    target = scene.target(way.target)
    make = AsyncAzureOpenAI if way.is_async else AzureOpenAI
    client = make(azure_endpoint=target.url, api_key=target.key, api_version="2024-06-01", **PLAIN)
    with pytest.raises(BadRequestError) as raised:
        await settled(
            client.chat.completions.create(
                model=MODEL, messages=MESSAGES, stream=True, stream_options={"include_usage": True}
            )
        )
    assert (raised.value.code, raised.value.param) == ("unknown_parameter", "stream_options")
    await settled(client.close())
