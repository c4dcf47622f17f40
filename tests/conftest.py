"""What every test shares: asyncio is the one backend, and no example is late."""

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes says what else the machine does, and on a slow one would fail a test that holds.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


@pytest.fixture
def anyio_backend() -> str:
    """The SDK runs on asyncio alone, because aiohttp does; the anyio plugin would try trio as well."""
    return "asyncio"
