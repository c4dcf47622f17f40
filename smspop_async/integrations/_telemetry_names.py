"""What is called how in OpenTelemetry. Dashboards and alerts are built on these words: they do not change.

``error.type``, ``server.address`` and ``http.request.resend_count`` are those of the semantic conventions. There are
none for a campaign of text messages (those of messaging are about brokers and queues), so the rest has the prefix
``smspop.``.
"""

from typing import Final

SCOPE: Final = "smspop_async"

# Spans, and the events on them.

RUN: Final = "smspop.run"
CAMPAIGN: Final = "smspop.campaign"
RETRIED: Final = "smspop.campaign.retried"
SPLIT: Final = "smspop.campaign.split"
RECONCILED: Final = "smspop.campaign.reconciled"
STOPPED: Final = "smspop.run.stopped"

# Attributes.

RUN_ID: Final = "smspop.run.id"
RUN_RESUMED: Final = "smspop.run.resumed"
RUN_STOPPED: Final = "smspop.run.stop_reason"
CAMPAIGN_ID: Final = "smspop.campaign.id"
OUTCOME: Final = "smspop.campaign.outcome"
CONTACTS: Final = "smspop.contacts.total"
CONTACTS_WITH: Final = "smspop.contacts."
"""Followed by a status."""
STATUS: Final = "smspop.contact.status"
ATTEMPT: Final = "smspop.retry.attempt"
DELAY: Final = "smspop.retry.delay"
LOOKS: Final = "smspop.reconcile.looks"
FOUND: Final = "smspop.reconcile.found"
ERROR_TYPE: Final = "error.type"
SERVER_ADDRESS: Final = "server.address"
RESEND_COUNT: Final = "http.request.resend_count"

# Instruments.

CONTACTS_TOTAL: Final = "smspop.contacts"
CAMPAIGNS_TOTAL: Final = "smspop.campaigns"
ACTIVE: Final = "smspop.active_campaigns"
RUN_DURATION: Final = "smspop.run.duration"
CAMPAIGN_DURATION: Final = "smspop.campaign.duration"

CAMPAIGN_BUCKETS: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 100.0, 150.0, 220.0)
"""Seconds. A request is given up after 150, and is then looked for during 60 more."""
RUN_BUCKETS: Final = (
    1.0,
    5.0,
    15.0,
    60.0,
    300.0,
    900.0,
    1_800.0,
    3_600.0,
    10_800.0,
    21_600.0,
    43_200.0,
    86_400.0,
)
"""Seconds: from a page of contacts to a day."""
