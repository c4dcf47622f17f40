"""What the tests of the journal share."""

import pytest


@pytest.fixture(autouse=True)
def asked_for(request):
    """What takes minutes runs only where it is asked for: ``-m long``."""
    if request.node.get_closest_marker("long") and "long" not in request.config.getoption("-m"):
        pytest.skip("takes minutes: -m long")
