"""A request to start a send, as JSON, for frameworks that have no such models of their own."""

from collections.abc import Mapping
from string import Template
from typing import Any, Final, cast

from attrs import field, frozen

from smspop_async.config import RateLimit
from smspop_async.errors import ConfigurationError
from smspop_async.integrations._errors import InvalidSendError
from smspop_async.mask import mask_name

_FIELDS: Final[Mapping[str, tuple[type, ...]]] = {
    "message": (str,),
    "sender_id": (str,),
    "contacts": (list,),
    "name": (str,),
    "personal": (bool,),
    "contacts_per_second": (int, float, type(None)),
}
_REQUIRED: Final = ("message", "sender_id", "contacts")


@frozen(kw_only=True)
class NewSend:
    """What to send, and to whom."""

    message: str | Template = field(repr=False)
    sender_id: str
    contacts: list[Any] = field(repr=False)
    name: str = field(repr=mask_name)
    rate_limit: RateLimit | None


def new_send(values: object) -> NewSend:
    """Read the JSON of a request.

    Raises:
        InvalidSendError: it is not as it should be; the text names the field, and repeats nothing of it.
    """
    if not isinstance(values, dict):
        raise InvalidSendError("The body is to be a JSON object.")
    given = cast("dict[str, Any]", values)
    for name in (*_REQUIRED, *given):
        if name not in _FIELDS:
            raise InvalidSendError(f"There is a field too many; there are: {', '.join(_FIELDS)}.")
        if name not in given:
            raise InvalidSendError(f"The field {name} is missing.")
        if not isinstance(given[name], _FIELDS[name]):
            raise InvalidSendError(f"The field {name} is not of the right type.")
    if not all(isinstance(contact, str | dict) for contact in given["contacts"]):
        raise InvalidSendError("The field contacts is to hold numbers as texts, or rows as objects.")
    message, rate = given["message"], given.get("contacts_per_second")
    try:
        return NewSend(
            message=Template(message) if given.get("personal") else message,
            sender_id=given["sender_id"],
            contacts=given["contacts"],
            name=given.get("name", "Campaign"),
            rate_limit=None if rate is None else RateLimit(contacts_per_second=rate),
        )
    except ConfigurationError as error:
        raise InvalidSendError(str(error)) from None
