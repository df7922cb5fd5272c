"""The questions that tests ask, and the models they name."""

from openai.types.chat import ChatCompletionMessageParam

from clients import Client, each, settled

MODEL = "gpt-5.4-mini"
EMBEDDING_MODEL = "text-embedding-3-large"
QUESTION = "What is new?"
MESSAGES: list[ChatCompletionMessageParam] = [{"role": "user", "content": QUESTION}]


async def chat(client: Client, model: str = MODEL) -> str:
    """The words of a chat completion."""
    completion = await settled(client.chat.completions.create(model=model, messages=MESSAGES))
    return completion.choices[0].message.content or ""


async def chat_streamed(client: Client, heard: list[str]) -> str:
    """The words of a streamed chat completion; `heard` gets them as they come, so that they survive an error."""
    stream = await settled(client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True))
    async for chunk in each(stream):
        heard.extend(choice.delta.content or "" for choice in chunk.choices)
    return "".join(heard)


async def response_streamed(client: Client, heard: list[str]) -> str:
    """The same of a streamed response, asked for as the chat app does."""
    stream = await settled(
        client.responses.create(model=MODEL, input=QUESTION, max_output_tokens=1024, store=False, stream=True)
    )
    async for event in each(stream):
        if event.type == "response.output_text.delta":
            heard.append(event.delta)
    return "".join(heard)


def answer_of(name: str) -> str:
    """What a resource answers to the question."""
    return f"{name} answers: {QUESTION}"
