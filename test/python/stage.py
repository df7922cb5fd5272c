"""The Python side of stage.ts: a balancer in front of simulated resources, and how to make them misbehave."""

import json
import os
from dataclasses import dataclass
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

# Longer than the stage waits for something to become idle.
_PATIENCE_S = 20


@dataclass(frozen=True)
class Target:
    """Something a client is pointed at: a simulated resource or the balancer."""

    name: str
    url: str
    key: str
    # Accepted as `Authorization: Bearer`.
    token: str


@dataclass(frozen=True)
class Resource(Target):
    """A simulated resource, told what to do through its control API."""

    def fault(self, name: str, times: int | str = 1) -> None:
        """Scripts a fault, written as simulator/README.md lists them, for the next requests or for `always`."""
        _call("POST", f"{self.url}/simulator/fault?name={quote(name)}&times={times}")

    def clear(self) -> None:
        _call("POST", f"{self.url}/simulator/clear")

    @property
    def calls(self) -> int:
        """How many requests arrived."""
        count = _call("GET", f"{self.url}/simulator/state")["calls"]
        assert isinstance(count, int)
        return count


@dataclass(frozen=True)
class Finished:
    """How the balancer says that a request ended."""

    status: int
    # delivered, broken, abandoned or refused
    ending: str
    attempts: int
    # Of an error made by the balancer; else empty.
    code: str


@dataclass(frozen=True)
class Scene:
    """A fresh balancer in front of fresh resources."""

    balancer: Target
    resources: tuple[Resource, ...]
    operator_key: str
    # How long a batch or a response in the background stays in each status.
    job_step_s: int

    def target(self, name: str) -> Target:
        """`balancer`, or `simulator` for the first resource."""
        return self.balancer if name == "balancer" else self.resources[0]

    @property
    def calls(self) -> list[int]:
        """How often each resource was asked."""
        return [resource.calls for resource in self.resources]

    def fault(self, name: str, times: int | str = 1) -> None:
        """The same fault at every resource."""
        for resource in self.resources:
            resource.fault(name, times)

    def take_job_steps(self, count: int) -> None:
        """Moves the clock of the resources on: every job is so many statuses further."""
        self.pass_seconds(count * self.job_step_s)

    def pass_seconds(self, seconds: int) -> None:
        """Moves the clock of the resources on; that of the balancer stays."""
        _call("POST", f"{_stage_url()}/pass?seconds={seconds}")

    def take_down(self, resource: Resource) -> None:
        """Connections to it are refused from now on."""
        _call("POST", f"{_stage_url()}/down?resource={resource.name}")

    def until_called(self, resource: Resource) -> None:
        """Returns when a request has arrived at the resource."""
        _call("GET", f"{_stage_url()}/called?resource={resource.name}")

    def finished(self) -> list[Finished]:
        """How each request to the balancer ended, in order, once nothing is in flight; fails if that never is."""
        return [Finished(**request) for request in _call("GET", f"{_stage_url()}/finished")]

    def status(self) -> Any:
        """What the balancer's /status tells an operator."""
        return _call("GET", f"{self.balancer.url}/status", {"api-key": self.operator_key, "accept": "application/json"})


def new_scene(backends: int) -> Scene:
    """Sets a scene up and takes the last one down."""
    told = _call("POST", f"{_stage_url()}/scene?backends={backends}")
    resources = tuple(Resource(**resource) for resource in told["resources"])
    return Scene(
        balancer=Target(**told["balancer"]),
        resources=resources,
        operator_key=told["operatorKey"],
        job_step_s=told["jobStepSeconds"],
    )


def _stage_url() -> str:
    return os.environ["STAGE_URL"]


def _call(method: str, url: str, headers: dict[str, str] | None = None) -> Any:
    try:
        with urlopen(Request(url, method=method, headers=headers or {}), timeout=_PATIENCE_S) as response:
            return json.load(response)
    except HTTPError as error:
        raise AssertionError(f"{method} {url} answered {error.code}: {error.read().decode()}") from error
