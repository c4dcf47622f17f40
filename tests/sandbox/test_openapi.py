"""The sandbox does what its OpenAPI description says, for examples that nobody chose."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import GenerationMode
from schemathesis.config import GenerationConfig, ProjectConfig, ProjectsConfig, SchemathesisConfig

from smspop_async.sandbox import Sandbox


@contextmanager
def running(**options) -> Iterator[Sandbox]:
    """A sandbox in a thread and loop of its own, because the checker is a synchronous client."""
    sandbox = Sandbox(**options)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(sandbox.start(), loop).result(10)
        yield sandbox
        asyncio.run_coroutine_threadsafe(sandbox.aclose(), loop).result(10)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


@pytest.fixture(scope="module")
def api_schema():
    with running(token="1|fake-token", credits=10**12) as sandbox:
        yield schemathesis.openapi.from_url(f"{sandbox.inbox_url}_sandbox/openapi.json").include(
            path_regex="^/api/"
        )


@pytest.fixture(scope="module")
def control_schema():
    with running() as sandbox:
        yield schemathesis.openapi.from_url(f"{sandbox.inbox_url}_sandbox/openapi.json").include(
            path_regex="^/_sandbox/"
        ).exclude(path="/_sandbox/wait")  # it waits, up to a minute, which is its job


bounded = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


@schemathesis.pytest.from_fixture("api_schema").parametrize()
@bounded
def test_the_api_keeps_to_its_description(case):
    case.call_and_validate(headers={"Authorization": "Bearer 1|fake-token", "Accept": "application/json"})


@schemathesis.pytest.from_fixture("control_schema").parametrize()
@bounded
def test_the_controls_keep_to_their_description(case):
    case.call_and_validate()
