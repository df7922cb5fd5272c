"""Every way to point a client of the openai package at a target, and what lets one test drive both styles."""

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar, overload

import pytest
from openai import AsyncAzureOpenAI, AsyncOpenAI, AsyncStream, AzureOpenAI, OpenAI, Stream

from stage import Scene, Target

T = TypeVar("T")

Client = OpenAI | AsyncOpenAI

API_VERSION = "2024-10-21"

# No retries, so that nothing is hidden; and nothing is waited for until the package's own ten minutes are over.
PLAIN: dict[str, Any] = {"max_retries": 0, "timeout": 20}


@dataclass(frozen=True)
class Way:
    """One client class, one base URL, one kind of credential, one target."""

    target: str
    name: str
    make: Callable[[Target], Client]

    def __str__(self) -> str:
        return f"{self.target}-{self.name}"

    @property
    def is_v1(self) -> bool:
        """Whether the resource is asked on /openai/v1."""
        return self.name.startswith("openai")

    @property
    def is_async(self) -> bool:
        return self.name.endswith("-async")

    def client(self, scene: Scene) -> Client:
        return self.make(scene.target(self.target))


def _openai(path: str) -> list[Callable[[Target], Client]]:
    return [
        lambda target: OpenAI(base_url=target.url + path, api_key=target.key, **PLAIN),
        lambda target: AsyncOpenAI(base_url=target.url + path, api_key=target.key, **PLAIN),
    ]


def _openai_with_token(path: str) -> list[Callable[[Target], Client]]:
    def provided(target: Target) -> Callable[[], Awaitable[str]]:
        async def provide() -> str:
            return target.token

        return provide

    return [
        lambda target: OpenAI(base_url=target.url + path, api_key=lambda: target.token, **PLAIN),
        lambda target: AsyncOpenAI(base_url=target.url + path, api_key=provided(target), **PLAIN),
    ]


def _azure_with_key() -> list[Callable[[Target], Client]]:
    def azure(target: Target) -> dict[str, Any]:
        return {"azure_endpoint": target.url, "api_key": target.key, "api_version": API_VERSION, **PLAIN}

    return [lambda target: AzureOpenAI(**azure(target)), lambda target: AsyncAzureOpenAI(**azure(target))]


def _azure_with_token() -> list[Callable[[Target], Client]]:
    def azure(target: Target) -> dict[str, Any]:
        return {
            "azure_endpoint": target.url,
            "azure_ad_token_provider": lambda: target.token,
            "api_version": API_VERSION,
            **PLAIN,
        }

    return [lambda target: AzureOpenAI(**azure(target)), lambda target: AsyncAzureOpenAI(**azure(target))]


def _ways(target: str, name: str, makes: list[Callable[[Target], Client]]) -> list[Way]:
    return [Way(target, f"{name}-{style}", make) for style, make in zip(("sync", "async"), makes, strict=True)]


BALANCER_WAYS = [
    *_ways("balancer", "openai-bare", _openai("")),
    *_ways("balancer", "openai-v1", _openai("/v1")),
    *_ways("balancer", "openai-openai-v1", _openai("/openai/v1")),
    *_ways("balancer", "openai-token", _openai_with_token("/openai/v1")),
    *_ways("balancer", "azure-key", _azure_with_key()),
    *_ways("balancer", "azure-token", _azure_with_token()),
]

# For what does not depend on the path or on the credential.
TYPICAL_WAYS = [way for way in BALANCER_WAYS if way.name.startswith(("openai-v1", "azure-token"))]

SIMULATOR_WAYS = [
    *_ways("simulator", "openai-openai-v1", _openai("/openai/v1")),
    *_ways("simulator", "openai-token", _openai_with_token("/openai/v1")),
    *_ways("simulator", "azure-key", _azure_with_key()),
    *_ways("simulator", "azure-token", _azure_with_token()),
]

WAYS = [*SIMULATOR_WAYS, *BALANCER_WAYS]

# The same two of a resource itself, and of both.
DIRECT_WAYS = [way for way in SIMULATOR_WAYS if way.name.startswith(("openai-openai-v1", "azure-token"))]
FEW_WAYS = [*DIRECT_WAYS, *TYPICAL_WAYS]

# For what a resource keeps under an id that means nothing to another: the balancer has one backend.
KEEPING_WAYS = [
    *DIRECT_WAYS,
    *(pytest.param(way, marks=pytest.mark.backends(1), id=f"{way}-of-one") for way in TYPICAL_WAYS),
]
V1_KEEPING_WAYS = [
    *(way for way in DIRECT_WAYS if way.is_v1),
    *(pytest.param(way, marks=pytest.mark.backends(1), id=f"{way}-of-one") for way in TYPICAL_WAYS if way.is_v1),
]


@overload
async def settled(value: Stream[T] | Awaitable[AsyncStream[T]]) -> Stream[T] | AsyncStream[T]: ...
@overload
async def settled(value: T | Awaitable[T]) -> T: ...
async def settled(value: object) -> object:
    """What a synchronous client returned, or what an asynchronous one will."""
    return await value if isinstance(value, Awaitable) else value


async def each(items: Iterable[T] | AsyncIterable[T]) -> AsyncIterator[T]:
    """The items of a stream or of a list, by `for` or by `async for`."""
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item


@asynccontextmanager
async def entered(manager: AbstractContextManager[Any] | AbstractAsyncContextManager[Any]) -> AsyncIterator[Any]:
    """Inside `with` or `async with`."""
    if isinstance(manager, AbstractContextManager):
        with manager as value:
            yield value
    else:
        async with manager as value:
            yield value
