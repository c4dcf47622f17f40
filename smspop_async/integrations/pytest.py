"""The pytest plugin: a sandbox and a client on it for the tests of your own app.

pytest imports this module at its start, in every project that has the package installed, also in those that never use
it. So nothing stands here but the fixtures, and what they need is imported when the first of them is used.

Every fixture is an ordinary synchronous one. The sandbox runs in an event loop of its own, in a thread of its own,
so it serves tests under anyio's plugin, under pytest-asyncio in either mode, and tests without any loop; an async
fixture would be run by one of these plugins and left alone by the others. What it costs, measured: 0.3 to 0.7 s to
import the sandbox when the first test asks for it, then about 2 ms a test, so every test has a sandbox of its own.
"""

from collections.abc import Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

import pytest

if TYPE_CHECKING:
    from anyio.from_thread import BlockingPortal

    from smspop_async.batch.client import SmsPop
    from smspop_async.integrations.pytest_sandbox import SmsPopSandbox

__all__ = ["SmsPopSandbox", "smspop_client", "smspop_sandbox"]

_MARKER = (
    "smspop(*, fault=None, **settings): how the smspop_sandbox of a test behaves. fault is what meets the next "
    "requests, as for smspop_sandbox.fail_next: a word, an HTTP status, a mapping with a kind, or a list of these. "
    "The settings are those of Sandbox: credits, senders, latency, ..."
)
_MASK = "mask numbers and texts in what the assertions of smspop_sandbox print"


def __getattr__(name: str) -> object:
    """Load `SmsPopSandbox` when somebody asks for it, for an annotation."""
    if name == "SmsPopSandbox":
        return _part("sandbox").SmsPopSandbox
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the one setting."""
    parser.addini("smspop_mask", _MASK, type="bool", default=False)


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker, so that ``--strict-markers`` knows it."""
    config.addinivalue_line("markers", _MARKER)


@pytest.fixture(scope="session")
def _smspop_portal() -> Iterator["BlockingPortal"]:
    """The event loop of the sandboxes, in a thread that lives as long as the session."""
    with import_module("anyio.from_thread").start_blocking_portal("asyncio") as portal:
        yield portal


@pytest.fixture
def smspop_sandbox(
    request: pytest.FixtureRequest, _smspop_portal: "BlockingPortal"
) -> Iterator["SmsPopSandbox"]:
    """A running sandbox of the test's own, which SMSPOP_TOKEN and SMSPOP_BASE_URL lead to."""
    faults, settings = _marked(request)
    masked = bool(request.config.getini("smspop_mask"))
    with (
        _part("sandbox").running_sandbox(_smspop_portal, settings, masked=masked) as sandbox,
        pytest.MonkeyPatch.context() as environment,
    ):
        for fault in faults:
            sandbox.expect_fault(fault)
        environment.setenv("SMSPOP_TOKEN", sandbox.token)
        environment.setenv("SMSPOP_BASE_URL", sandbox.api_url)
        yield sandbox


@pytest.fixture
def smspop_client(smspop_sandbox: "SmsPopSandbox") -> Iterator["SmsPop"]:
    """A client of the sandbox, for the event loop in which the test first uses it; it hurries where it would wait."""
    with _part("client").client_of(smspop_sandbox) as client:
        yield client


def _marked(request: pytest.FixtureRequest) -> tuple[list[Any], dict[str, Any]]:
    """What the markers of a test say, the closest last: its faults, and the settings of its sandbox."""
    settings: dict[str, Any] = {}
    for marker in reversed(list(request.node.iter_markers("smspop"))):
        if marker.args:
            pytest.fail(
                "pytest.mark.smspop takes keywords: smspop(credits=10, fault='rate_limited').", pytrace=False
            )
        settings |= marker.kwargs
    faults: Any = settings.pop("fault", [])
    return cast("list[Any]", faults if isinstance(faults, list | tuple) else [faults]), settings


def _part(name: str) -> Any:
    """A module beside this one, imported when it is needed."""
    return import_module(f"smspop_async.integrations.pytest_{name}")
