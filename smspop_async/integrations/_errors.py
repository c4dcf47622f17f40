"""What can be wrong about a send in the background itself. Nothing was sent by a call that raises one of these."""

from smspop_async.errors import SmsPopError


class UnknownSendError(SmsPopError):
    """There is no send of this id."""


class SendBusyError(SmsPopError):
    """The send is in no state in which this can be asked of it: it still runs, or has ended."""


class ShuttingDownError(SmsPopError):
    """The app is ending and takes no more sends."""


class InvalidSendError(SmsPopError):
    """The request for a send asks for what cannot be; its text says what."""


class SendTooLargeError(InvalidSendError):
    """The request for a send is larger than the app takes."""
