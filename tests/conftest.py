"""What every test shares: asyncio is the one backend, because aiohttp is asyncio only."""

import pytest


@pytest.fixture
def anyio_backend() -> str:
    """The SDK runs on asyncio alone; the anyio plugin would try trio as well."""
    return "asyncio"
