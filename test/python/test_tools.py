"""Functions that are called and JSON that fits a schema: whole, streamed, and through the helpers of the package."""

import json
from enum import Enum
from typing import Any

import pytest
from openai import ContentFilterFinishReasonError, LengthFinishReasonError, pydantic_function_tool
from openai.types.chat import (
    ChatCompletionFunctionToolParam,
    ChatCompletionMessageParam,
    ChatCompletionToolChoiceOptionParam,
)
from openai.types.responses import FunctionToolParam
from pydantic import BaseModel

from asking import MESSAGES, MODEL, QUESTION
from clients import FEW_WAYS, Client, each, entered, settled
from stage import Scene

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.usefixtures("nothing_is_left"),
    pytest.mark.parametrize("way", FEW_WAYS, ids=str),
]


class Weather(BaseModel):
    """What is asked of a function."""

    city: str
    days: int


class Sky(Enum):
    CLEAR = "clear"
    GREY = "grey"


class Forecast(BaseModel):
    """A schema with something of everything: a reference, a list, an enumeration, an optional value."""

    sky: Sky
    places: list[Weather]
    rain: float | None
    certain: bool


# The model gives every text the words of the question, every number 1, and the first value of an enumeration.
CALLED = Weather(city=QUESTION, days=1)
FORECAST = Forecast(sky=Sky.CLEAR, places=[CALLED], rain=1, certain=True)

PARAMETERS: dict[str, object] = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
CLOCK: ChatCompletionFunctionToolParam = {"type": "function", "function": {"name": "clock"}}
TOOLS: list[ChatCompletionFunctionToolParam] = [
    CLOCK,
    {"type": "function", "function": {"name": "weather", "parameters": PARAMETERS}},
]
WEATHER: ChatCompletionToolChoiceOptionParam = {"type": "function", "function": {"name": "weather"}}
RESPONSE_TOOLS: list[FunctionToolParam] = [
    {"type": "function", "name": "weather", "parameters": PARAMETERS, "strict": True}
]


async def test_a_chat_completion_calls_the_function_that_is_named(client: Client) -> None:
    completion = await settled(
        client.chat.completions.create(model=MODEL, messages=MESSAGES, tools=TOOLS, tool_choice=WEATHER)
    )
    [choice] = completion.choices
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", None)
    assert choice.message.tool_calls is not None
    [call] = choice.message.tool_calls
    assert call.type == "function"
    assert call.id.startswith("call_")
    assert call.function.name == "weather"
    assert Weather.model_validate_json(call.function.arguments) == CALLED


async def test_a_chat_completion_calls_the_first_function_when_any_is_required(client: Client) -> None:
    allowed: ChatCompletionToolChoiceOptionParam = {
        "type": "allowed_tools",
        "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "clock"}}]},
    }
    choices: tuple[ChatCompletionToolChoiceOptionParam, ...] = ("required", allowed)
    for choice in choices:
        completion = await settled(
            client.chat.completions.create(model=MODEL, messages=MESSAGES, tools=TOOLS, tool_choice=choice)
        )
        [call] = completion.choices[0].message.tool_calls or []
        assert call.type == "function"
        assert (call.function.name, json.loads(call.function.arguments)) == ("clock", {})


async def test_a_chat_completion_calls_nothing_that_it_may_leave(client: Client) -> None:
    choices: tuple[ChatCompletionToolChoiceOptionParam, ...] = ("auto", "none")
    for choice in choices:
        completion = await settled(
            client.chat.completions.create(model=MODEL, messages=MESSAGES, tools=TOOLS, tool_choice=choice)
        )
        assert completion.choices[0].finish_reason == "stop"
        assert completion.choices[0].message.tool_calls is None


async def test_a_chat_stream_brings_the_arguments_in_pieces(client: Client) -> None:
    stream = await settled(
        client.chat.completions.create(
            model=MODEL, messages=MESSAGES, tools=TOOLS, tool_choice=WEATHER, parallel_tool_calls=False, stream=True
        )
    )
    choices = [choice async for chunk in each(stream) for choice in chunk.choices]
    assert choices[-1].finish_reason == "tool_calls"
    pieces = [call for choice in choices for call in choice.delta.tool_calls or []]
    functions = [piece.function for piece in pieces if piece.function is not None]
    assert [function.name for function in functions if function.name] == ["weather"]
    written = [function.arguments for function in functions if function.arguments]
    assert len(written) > 1
    assert Weather.model_validate_json("".join(written)) == CALLED


async def test_the_stream_helper_of_chat_reads_the_arguments_into_a_model(client: Client) -> None:
    tools = [pydantic_function_tool(Weather)]
    asked = client.chat.completions.stream(model=MODEL, messages=MESSAGES, tools=tools, tool_choice="required")
    async with entered(asked) as stream:
        types = [event.type async for event in each(stream)]
        completion = await settled(stream.get_final_completion())
    [call] = completion.choices[0].message.tool_calls
    assert call.function.parsed_arguments == CALLED
    assert types.count("tool_calls.function.arguments.delta") > 1
    assert types.count("tool_calls.function.arguments.done") == 1


async def test_chat_goes_on_after_the_result_of_a_call(client: Client) -> None:
    completion = await settled(
        client.chat.completions.create(model=MODEL, messages=MESSAGES, tools=TOOLS, tool_choice=WEATHER)
    )
    [call] = completion.choices[0].message.tool_calls or []
    assert call.type == "function"
    messages: list[ChatCompletionMessageParam] = [
        *MESSAGES,
        {
            "role": "assistant",
            "tool_calls": [
                {
                    "type": "function",
                    "id": call.id,
                    "function": {"name": call.function.name, "arguments": call.function.arguments},
                }
            ],
        },
        {"role": "tool", "tool_call_id": call.id, "content": "sunny"},
    ]
    after = await settled(client.chat.completions.create(model=MODEL, messages=messages, tools=TOOLS))
    assert after.choices[0].finish_reason == "stop"
    assert (after.choices[0].message.content or "").startswith("openai1 answers: ")


async def test_a_response_calls_the_function_that_is_named(client: Client) -> None:
    response = await settled(
        client.responses.create(
            model=MODEL,
            input=QUESTION,
            tools=RESPONSE_TOOLS,
            tool_choice={"type": "function", "name": "weather"},
            store=False,
        )
    )
    [item] = response.output
    assert item.type == "function_call"
    assert (item.name, item.status, response.output_text) == ("weather", "completed", "")
    assert item.call_id.startswith("call_")
    assert Weather.model_validate_json(item.arguments) == CALLED


async def test_a_response_goes_on_after_the_result_of_a_call(client: Client) -> None:
    first = await settled(
        client.responses.create(model=MODEL, input=QUESTION, tools=RESPONSE_TOOLS, tool_choice="required", store=False)
    )
    [item] = first.output
    assert item.type == "function_call"
    after = await settled(
        client.responses.create(
            model=MODEL,
            input=[
                {"role": "user", "content": QUESTION},
                {
                    "type": "function_call",
                    "call_id": item.call_id,
                    "name": item.name,
                    "arguments": item.arguments,
                },
                {"type": "function_call_output", "call_id": item.call_id, "output": "sunny"},
            ],
            tools=RESPONSE_TOOLS,
            store=False,
        )
    )
    assert after.output_text.startswith("openai1 answers: ")


async def test_a_streamed_response_brings_the_arguments_in_pieces(client: Client) -> None:
    stream = await settled(
        client.responses.create(
            model=MODEL, input=QUESTION, tools=RESPONSE_TOOLS, tool_choice="required", store=False, stream=True
        )
    )
    events = [event async for event in each(stream)]
    deltas = [event.delta for event in events if event.type == "response.function_call_arguments.delta"]
    [done] = [event.arguments for event in events if event.type == "response.function_call_arguments.done"]
    assert len(deltas) > 1
    assert "".join(deltas) == done
    assert Weather.model_validate_json(done) == CALLED
    assert events[-1].type == "response.completed"


async def test_the_stream_helper_of_responses_reads_the_arguments_into_a_model(client: Client) -> None:
    tools: list[Any] = [pydantic_function_tool(Weather)]
    asked = client.responses.stream(model=MODEL, input=QUESTION, tools=tools, tool_choice="required", store=False)
    async with entered(asked) as stream:
        response = await settled(stream.get_final_response())
    [item] = response.output
    assert (item.type, item.parsed_arguments) == ("function_call", CALLED)


async def test_the_parse_helpers_read_the_arguments_into_a_model(client: Client) -> None:
    tool: Any = pydantic_function_tool(Weather)
    completion = await settled(
        client.chat.completions.parse(model=MODEL, messages=MESSAGES, tools=[tool], tool_choice="required")
    )
    [call] = completion.choices[0].message.tool_calls or []
    assert call.function.parsed_arguments == CALLED
    response = await settled(
        client.responses.parse(model=MODEL, input=QUESTION, tools=[tool], tool_choice="required", store=False)
    )
    [item] = response.output
    assert item.type == "function_call"
    assert item.parsed_arguments == CALLED


async def test_a_json_object_is_one(client: Client) -> None:
    completion = await settled(
        client.chat.completions.create(model=MODEL, messages=MESSAGES, response_format={"type": "json_object"})
    )
    assert json.loads(completion.choices[0].message.content or "") == {"answer": QUESTION}
    response = await settled(
        client.responses.create(model=MODEL, input=QUESTION, text={"format": {"type": "json_object"}}, store=False)
    )
    assert json.loads(response.output_text) == {"answer": QUESTION}


async def test_the_parse_helpers_read_the_answer_into_a_model(client: Client) -> None:
    completion = await settled(client.chat.completions.parse(model=MODEL, messages=MESSAGES, response_format=Forecast))
    assert completion.choices[0].message.parsed == FORECAST
    response = await settled(client.responses.parse(model=MODEL, input=QUESTION, text_format=Forecast, store=False))
    assert response.output_parsed == FORECAST


async def test_the_stream_helpers_read_the_answer_into_a_model(client: Client) -> None:
    chatting = client.chat.completions.stream(model=MODEL, messages=MESSAGES, response_format=Forecast)
    async with entered(chatting) as stream:
        completion = await settled(stream.get_final_completion())
    assert completion.choices[0].message.parsed == FORECAST
    responding = client.responses.stream(model=MODEL, input=QUESTION, text_format=Forecast, store=False)
    async with entered(responding) as stream:
        response = await settled(stream.get_final_response())
    assert response.output_parsed == FORECAST


async def test_the_parse_helper_says_that_an_answer_was_cut(client: Client, scene: Scene) -> None:
    with pytest.raises(LengthFinishReasonError) as raised:
        await settled(
            client.chat.completions.parse(
                model=MODEL, messages=MESSAGES, response_format=Forecast, max_completion_tokens=2
            )
        )
    assert raised.value.completion.choices[0].finish_reason == "length"
    scene.resources[0].fault("content-filter:answer")
    with pytest.raises(ContentFilterFinishReasonError):
        await settled(client.chat.completions.parse(model=MODEL, messages=MESSAGES, response_format=Forecast))
