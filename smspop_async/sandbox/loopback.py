"""The loopback interface: the only place a server without passwords may listen."""

import ipaddress
import socket

from smspop_async.errors import ConfigurationError


def loopback_address(host: str) -> str:
    """Return the address to listen on for ``host``.

    Raises:
        ConfigurationError: It is not a loopback address.
    """
    name = "127.0.0.1" if host.lower() == "localhost" else host
    if not is_loopback(name):
        raise ConfigurationError(
            "The sandbox has no passwords, so it listens on the loopback interface only: 127.0.0.1 or ::1."
        )
    return name


def is_loopback(host: str) -> bool:
    """Tell whether ``host``, without a port, names this machine by a loopback address or ``localhost``."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        return False


def bracketed(host: str) -> str:
    """Return an address as a URL spells it."""
    return f"[{host}]" if ":" in host else host


def bind(host: str, port: int) -> socket.socket:
    """Return a socket that listens on a loopback address.

    Raises:
        ConfigurationError: The port is taken or out of range.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        raise ConfigurationError(
            f"The sandbox cannot listen on port {port}: {error}. Use another, or 0 for a free one."
        ) from None
