"""Spans and metrics on the console: `python examples/otel.py`. It sends in a sandbox of its own and texts nobody.

It needs OpenTelemetry's SDK, as every app that exports does: ``pip install 'smspop-async[otel]' opentelemetry-sdk``.
"""

import asyncio
from collections.abc import Iterator

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

from smspop_async import RetryPolicy, SmsPop, SmsPopError
from smspop_async.integrations.opentelemetry import instrument
from smspop_async.sandbox import Sandbox

PATIENT = RetryPolicy(initial_backoff=0.01, max_backoff=0.01)


def as_line(span: ReadableSpan) -> str:
    """A span in a line, and its events below it."""
    duration = ((span.end_time or 0) - (span.start_time or 0)) / 1e6
    attributes = "  ".join(f"{key}={value}" for key, value in (span.attributes or {}).items())
    depth = "  " if span.parent is not None else ""
    lines = [f"{depth}{span.name}  {duration:.1f} ms  {span.status.status_code.name}  {attributes}"]
    lines += [f"{depth}  - {event.name}  {dict(event.attributes or {})}" for event in span.events]
    return "\n".join(lines) + "\n"


def measured(reader: InMemoryMetricReader) -> Iterator[str]:
    """What was counted and measured."""
    data = reader.get_metrics_data()
    for scope in data.resource_metrics[0].scope_metrics if data is not None else ():
        for metric in scope.metrics:
            for point in metric.data.data_points:
                kind = ", ".join(f"{value}" for value in (point.attributes or {}).values())
                value = point.count if isinstance(point, HistogramDataPoint) else getattr(point, "value", "")
                yield f"{metric.name}  {kind or '-'}  {value}"


async def send(sandbox: Sandbox) -> None:
    """A few things that can happen to a send."""
    async with SmsPop(sandbox.token, base_url=sandbox.api_url, retry=PATIENT) as sms:
        people = [f"2637700{number:05}" for number in range(1, 9)]
        sandbox.fail_next(429, retry_after=0)
        await sms.send([*people, "263770009901"], message="Hello!", sender_id="DEMO", chunk_size=5)
        sandbox.fail_next("no_credits")
        try:
            await sms.campaigns.create(name="One", message="Hello!", sender_id="DEMO", contacts=people[:1])
        except SmsPopError as error:
            print(f"(raised, as it should be: {type(error).__name__})")


async def main() -> None:
    """Set up OpenTelemetry as an app does, instrument, and send."""
    reader = InMemoryMetricReader()  # an app has a PeriodicExportingMetricReader with an exporter
    tracers, meters = TracerProvider(), MeterProvider([reader])
    tracers.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter(formatter=as_line)))
    instrument(tracer_provider=tracers, meter_provider=meters)
    async with Sandbox() as sandbox:
        await send(sandbox)
    print(*measured(reader), sep="\n")
    tracers.shutdown()
    meters.shutdown()


if __name__ == "__main__":
    asyncio.run(main())
