"""A video at an address, fetched for a client: off unless the address's host is allowed by name.

A service that opens addresses for others can be made to ask machines that only it can reach. So: https alone; hosts of
a list; the name is resolved once, and the connection goes to that very address, which has to be public; redirects are
not followed; the size and the time are those of an upload.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import AsyncGenerator, AsyncIterator
from urllib.parse import unquote, urlsplit

import h11

from tubelet.serving.problem import ProblemError
from tubelet.serving.settings import Settings
from tubelet.version import __version__

AT_ONCE = 2**16


async def fetch(url: str, settings: Settings) -> AsyncGenerator[bytes, None]:
    """The parts of the file at an address.

    Args:
        url: https://HOST[:PORT]/...
        settings: of the service; `url_hosts` are allowed.

    Raises:
        ProblemError: the address is not allowed, leads into a private network, or gives no file.
    """
    host, port, target = checked(url, settings)
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        address = str(found[0][4][0])
        if not all(is_public(str(one[4][0])) for one in found):
            raise ProblemError(400, f"{host} leads into a private network")
        reader, writer = await asyncio.open_connection(address, port, ssl=trusted(), server_hostname=host)
    except (OSError, UnicodeError) as error:
        raise ProblemError(400, f"{host} does not answer ({getattr(error, 'strerror', None) or error})") from None
    try:
        named = host if port == 443 else f"{host}:{port}"
        headers = [("Host", named), ("User-Agent", f"tubelet/{__version__}"), ("Connection", "close")]
        client = h11.Connection(h11.CLIENT)
        writer.write(client.send(h11.Request(method="GET", target=target, headers=headers)) or b"")
        writer.write(client.send(h11.EndOfMessage()) or b"")
        async for part in _body(client, reader, host):
            yield part
    except (h11.RemoteProtocolError, OSError) as error:
        raise ProblemError(400, f"{host} broke off ({error})") from None
    finally:
        writer.transport.abort()  # a server that does not end the connection is not waited for


async def _body(client: h11.Connection, reader: asyncio.StreamReader, host: str) -> AsyncIterator[bytes]:
    while not isinstance(event := client.next_event(), h11.EndOfMessage):
        if event is h11.NEED_DATA:
            client.receive_data(await reader.read(AT_ONCE))
        elif isinstance(event, h11.Response) and event.status_code != 200:
            moved = "; redirects are not followed" if 300 <= event.status_code < 400 else ""
            raise ProblemError(400, f"{host} answered with status {event.status_code}{moved}")
        elif isinstance(event, h11.Data):
            yield bytes(event.data)


def checked(url: str, settings: Settings) -> tuple[str, int, str]:
    """Host, port and target of an address.

    Raises:
        ProblemError: it is no https address of an allowed host.
    """
    if not settings.url_hosts:
        raise ProblemError(400, "addresses are not opened; send the file, or start with --allow-url HOST")
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").lower(), parts.port or 443
    except ValueError:
        raise ProblemError(400, "the address cannot be read") from None
    plain = url.isascii() and url.isprintable() and not set(url) & set(' \\"<>')
    if parts.scheme != "https" or not host or parts.username is not None or not plain:
        raise ProblemError(400, "expected an address https://HOST/... without a user, in ASCII")
    named = host if port == 443 else f"{host}:{port}"
    if named not in settings.url_hosts:
        raise ProblemError(400, f"{named} is not allowed here (--allow-url)")
    return host, port, f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"


def name_of(url: str) -> str:
    """The last part of an address's path."""
    return unquote(urlsplit(url).path).rpartition("/")[2]


def is_public(address: str) -> bool:
    """Whether an IP address is one of the open network: not of this machine, a private network, or a translation."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        inside = found.ipv4_mapped or found.sixtofour
        translated = found in ipaddress.ip_network("64:ff9b::/96")
        if inside is not None or translated or found.teredo is not None:
            return False
    return found.is_global and not found.is_multicast


def trusted() -> ssl.SSLContext:
    """Certificates as this system trusts them."""
    return ssl.create_default_context()
