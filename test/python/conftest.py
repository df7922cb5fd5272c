"""A scene for each test, and a client in each of the ways that a test asks for."""

from collections.abc import AsyncIterator, Iterator

import pytest

from clients import WAYS, Client, Way, settled
from stage import Scene, new_scene


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def scene(request: pytest.FixtureRequest) -> Iterator[Scene]:
    """Of three backends unless a mark says another number. After each test nothing is in flight anywhere."""
    marker = request.node.get_closest_marker("backends")
    scene = new_scene(3 if marker is None else marker.args[0])
    yield scene
    scene.finished()


@pytest.fixture
def nothing_is_left(scene: Scene) -> Iterator[None]:
    """Whatever was asked was answered to its end, by the first resource."""
    yield
    assert {request.ending for request in scene.finished()} <= {"delivered"}
    assert not any(scene.calls[1:])


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
