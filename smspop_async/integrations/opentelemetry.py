"""OpenTelemetry: a span for each run and each campaign, counters of contacts, histograms of durations.

    instrument()

once, when the program starts. It concerns every client of the program, and does its work by listening to events:
nothing of ours or of anybody else's is patched. Without that call OpenTelemetry is not imported, and need not be
installed. What is told, and under which names, is in ``docs/observability.md``.
"""

import logging
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from threading import Lock
from types import TracebackType
from typing import TYPE_CHECKING, Self

from smspop_async.events import listen

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

__all__ = ["Instrumentation", "instrument", "uninstrument"]

_log = logging.getLogger("smspop_async")


class Instrumentation:
    """What `instrument` has begun, and `end` ends. As a context manager it ends with the block."""

    def __init__(self, end: Callable[[], None]) -> None:
        self._end = end

    def end(self) -> None:
        """End it: spans that are open are ended as they stand. Safe to call twice."""
        _active.forget(self)
        end, self._end = self._end, lambda: None
        end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.end()


class _Active:
    """The one instrumentation of the program."""

    def __init__(self) -> None:
        self._lock = Lock()
        self.now: Instrumentation | None = None

    def get(self, begin: Callable[[], Instrumentation]) -> tuple[Instrumentation, bool]:
        """Return the one there is, or the one that is begun now, and whether it is new."""
        with self._lock:
            if self.now is not None:
                return self.now, False
            self.now = begin()
            return self.now, True

    def forget(self, one: Instrumentation) -> None:
        with self._lock:
            if self.now is one:
                self.now = None


_active = _Active()


def instrument(
    *, tracer_provider: "TracerProvider | None" = None, meter_provider: "MeterProvider | None" = None
) -> Instrumentation:
    """Tell OpenTelemetry about every run and campaign of this program from now on.

    Runs that are under way are not told of. Called again while it is in force, it changes nothing.

    Args:
        tracer_provider: Makes spans; by default the global one, which may also be set later.
        meter_provider: Makes measurements; by default the global one, which may also be set later.

    Returns:
        What ends it; `uninstrument` does the same.

    Raises:
        ImportError: ``opentelemetry-api`` is not installed.
    """

    def begin() -> Instrumentation:
        return Instrumentation(_begin(tracer_provider, meter_provider))

    instrumentation, new = _active.get(begin)
    if not new and (tracer_provider is not None or meter_provider is not None):
        _log.warning("instrument() is in force already: the providers of this second call are not used")
    return instrumentation


def uninstrument() -> None:
    """End what `instrument` has begun, if it has begun anything."""
    if _active.now is not None:
        _active.now.end()


def _begin(
    tracer_provider: "TracerProvider | None", meter_provider: "MeterProvider | None"
) -> Callable[[], None]:
    try:
        from opentelemetry.metrics import get_meter  # noqa: PLC0415 - paid for by those who call this
        from opentelemetry.trace import get_tracer  # noqa: PLC0415 - the same

        from smspop_async.integrations._telemetry import Telemetry  # noqa: PLC0415 - the same
    except ModuleNotFoundError as missing:
        if not (missing.name or "").startswith("opentelemetry"):
            raise
        raise ImportError(
            "instrument() needs opentelemetry-api, which is not installed: pip install 'smspop-async[otel]'."
        ) from None
    from smspop_async.integrations._telemetry_names import SCOPE  # noqa: PLC0415 - the same

    telemetry = Telemetry(
        get_tracer(SCOPE, _version(), tracer_provider), get_meter(SCOPE, _version(), meter_provider)
    )
    silence = listen(telemetry)

    def end() -> None:
        silence()
        telemetry.end()

    return end


def _version() -> str:
    try:
        return version("smspop-async")
    except PackageNotFoundError:  # run from its source
        return ""
