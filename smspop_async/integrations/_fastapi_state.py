"""What a request of a FastAPI app finds: the client and the sends that the lifespan opened."""

from typing import Annotated, Any, Final, cast

from fastapi import Depends, Request

from smspop_async.batch.client import SmsPop
from smspop_async.errors import ConfigurationError
from smspop_async.integrations._errors import ShuttingDownError
from smspop_async.integrations._service import Service
from smspop_async.integrations.sends import Sends

STATE: Final = "smspop"
"""Its name in the state that Starlette hands to each request."""


def _service(request: Request) -> Service:
    service = getattr(request.state, STATE, None)
    if service is None:
        raise ConfigurationError(
            "The lifespan has not run: FastAPI(lifespan=smspop_lifespan()), and in tests `with TestClient(app)`."
        )
    return cast("Service", service)


async def get_smspop(request: Request) -> SmsPop:
    """The client of the app: the dependency to override in tests."""
    return _service(request).sms


async def get_sends(request: Request) -> Sends:
    """The sends of the app: the dependency to override in tests."""
    return _service(request).sends


SmsPopDep = Annotated[SmsPop, Depends(get_smspop)]
"""The client of the app, as the type of a parameter."""
SendsDep = Annotated[Sends, Depends(get_sends)]
"""The sends of the app, as the type of a parameter."""


async def readiness(sends: SendsDep) -> dict[str, Any]:
    """Tell whether the app can send: a route of its own (``/ready``), or a dependency of others.

    Raises:
        ShuttingDownError: the app is ending; `add_exception_handlers` makes it a 503.
    """
    if not sends.ready:
        raise ShuttingDownError("The app is ending and takes no more sends.")
    return {"status": "ready", "running": len(sends.running)}
