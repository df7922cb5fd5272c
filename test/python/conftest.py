"""A scene for each test, and a client in each of the ways that a test asks for."""

from collections.abc import AsyncIterator, Iterator

import pytest

from clients import WAYS, Client, Way, settled
from stage import Scene, new_scene


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def scene() -> Iterator[Scene]:
    """After each test nothing is in flight in the balancer or at a resource."""
    scene = new_scene()
    yield scene
    scene.finished()


@pytest.fixture(params=WAYS, ids=str)
def way(request: pytest.FixtureRequest) -> Way:
    param = request.param
    assert isinstance(param, Way)
    return param


@pytest.fixture
async def client(way: Way, scene: Scene) -> AsyncIterator[Client]:
    made = way.client(scene)
    yield made
    await settled(made.close())
