"""The metrics: what is counted and measured, always in the context of a span, from which exemplars have their trace."""

from collections.abc import Mapping

from opentelemetry.context import Context
from opentelemetry.metrics import Meter

from smspop_async.integrations import _telemetry_names as names

Kind = Mapping[str, str | int | float | bool]
"""The attributes of a measurement."""


class Instruments:
    """The counters and histograms.

    Args:
        meter: Makes them.
    """

    def __init__(self, meter: Meter) -> None:
        self._contacts = meter.create_counter(
            names.CONTACTS_TOTAL, "{contact}", "Contacts whose outcome was decided"
        )
        self._campaigns = meter.create_counter(
            names.CAMPAIGNS_TOTAL, "{campaign}", "Campaigns whose outcome was decided"
        )
        self._active = meter.create_up_down_counter(
            names.ACTIVE, "{campaign}", "Campaigns that were submitted and whose outcome is not known yet"
        )
        self._run_duration = meter.create_histogram(
            names.RUN_DURATION,
            "s",
            "Duration of a run",
            explicit_bucket_boundaries_advisory=names.RUN_BUCKETS,
        )
        self._campaign_duration = meter.create_histogram(
            names.CAMPAIGN_DURATION,
            "s",
            "Time from the first request of a campaign until its outcome is known",
            explicit_bucket_boundaries_advisory=names.CAMPAIGN_BUCKETS,
        )

    def count_contacts(self, statuses: Mapping[str, int], context: Context | None) -> None:
        """Contacts were decided, so many of each status."""
        for status, contacts in statuses.items():
            self._contacts.add(contacts, {names.STATUS: status}, context)

    def count_campaign(self, kind: Kind, context: Context | None) -> None:
        """A campaign was decided."""
        self._campaigns.add(1, kind, context)

    def count_active(self, change: int, context: Context) -> None:
        """A campaign took off, or landed."""
        self._active.add(change, context=context)

    def measure_campaign(self, seconds: float, kind: Kind, context: Context) -> None:
        """A campaign took so long."""
        self._campaign_duration.record(seconds, kind, context)

    def measure_run(self, seconds: float, kind: Kind, context: Context) -> None:
        """A run took so long."""
        self._run_duration.record(seconds, kind, context)
