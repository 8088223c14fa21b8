"""One request over HTTP and its whole answer, bounded in time and size whatever the server does.

A socket's own timeout begins anew with every byte, so a timer cuts the connection off; and no more is read than was asked for.
"""
import contextlib
import http.client
import socket
import ssl
import threading
from base64 import b64encode
from collections.abc import Iterator
from typing import NamedTuple

from synergynet_tf.errors import InputError

from .address import Address, proxy_for

CONNECT = 30.0          # seconds to open a connection, at most
PIECE = 2 ** 16         # bytes read at a time


class Unavailable(Exception):
    """The server cannot answer now, but may later."""


class UnknownHost(InputError):
    """The server's name cannot be resolved."""


class Reply(NamedTuple):
    """An answer as it came."""

    status: int
    body: bytes         # at most limit + 1 bytes: where there is one more, the answer was longer
    location: str       # where it sends the client, if anywhere


def exchange(address: Address, path: str, body: bytes | None, seconds: float, limit: int, authorization: str = "") -> Reply:
    """Send GET, or POST of `body` as JSON, and read the answer, in `seconds` altogether.

    Args:
        address: of the server.
        path: of the request, after the address's own.
        body: sent as JSON; none: GET.
        seconds: for all of it, from the connection to the last byte.
        limit: bytes of the answer's body; of a longer one no more than one more is read.
        authorization: the header of that name, for a reverse proxy before the server; empty: none.

    Raises:
        Unavailable: no connection, or no whole answer in time.
        InputError: what no trying mends: an unknown host, TLS that fails, an answer that is not HTTP.
    """
    proxy = proxy_for(address)
    near = proxy[0] if proxy else address
    connection = http.client.HTTPConnection(near.host, near.port, timeout=min(seconds, CONNECT))
    headers = {"Content-Type": "application/json", "Connection": "close"} | _authorization(proxy)
    headers |= {"Authorization": authorization} if authorization else {}
    target = f"{address.path}{path}"
    if proxy and address.scheme == "https":
        connection.set_tunnel(address.host, address.port, _authorization(proxy))
        headers.pop("Proxy-Authorization", None)
    elif proxy:
        target = f"http://{address.place}{target}"
    try:
        with _Deadline(connection, seconds) as deadline, _errors(address, deadline):
            _connect(connection, address, deadline)
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):    # refused before all was sent: the answer says why
                connection.request("GET" if body is None else "POST", target, body, headers)
            reply = _read(connection.getresponse(), limit)
            deadline.check()
            return reply
    finally:
        connection.close()


class _Deadline:
    """Shuts a connection down, from a thread, when its time is over; `over` tells that it was, or soon will be."""

    def __init__(self, connection: http.client.HTTPConnection, seconds: float):
        self.seconds, self.over, self._connection = seconds, False, connection
        self._socket: socket.socket | None = None
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True

    def __enter__(self) -> "_Deadline":
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def watch(self, wire: socket.socket) -> None:
        """Shut this socket down: a connection forgets its own when the answer is to end it."""
        self._socket = wire
        self.check()

    def check(self) -> None:
        """See that the time is not over: an end that was brought about may look like one that was meant.

        Raises:
            TimeoutError: it is.
        """
        if self.over:
            raise TimeoutError

    def _cut(self) -> None:
        self.over = True
        for wire in (self._socket, self._connection.sock):
            if wire is not None:
                with contextlib.suppress(OSError):
                    wire.shutdown(socket.SHUT_RDWR)


def _connect(connection: http.client.HTTPConnection, address: Address, deadline: _Deadline) -> None:
    try:
        connection.connect()
    except TimeoutError:
        raise Unavailable(f"{address}: no connection within {connection.timeout:g} s") from None
    except OSError as error:
        if error.errno is None and not isinstance(error, ConnectionError):      # so http.client tells what a proxy said
            raise InputError(f"{address}: the proxy that the environment names refuses ({error}); correct it, or name "
                             f"{address.host} in no_proxy") from None
        raise
    connection.sock.settimeout(deadline.seconds)
    secured = None
    if address.scheme == "https":
        secured = connection.sock = ssl.create_default_context().wrap_socket(
            connection.sock, server_hostname=address.host, do_handshake_on_connect=False)
    deadline.watch(connection.sock)
    if secured:
        try:
            secured.do_handshake()
        except ssl.SSLEOFError as error:
            raise _tls_failed(address, error) from None


def _read(reply: http.client.HTTPResponse, limit: int) -> Reply:
    body = bytearray()
    while len(body) <= limit:
        piece = reply.read1(min(PIECE, limit + 1 - len(body)))      # read() believes a chunk of -1 bytes, and takes all
        if not piece:
            break
        body += piece
    if len(body) <= limit and reply.length:
        raise http.client.IncompleteRead(b"", reply.length)
    return Reply(reply.status, bytes(body), reply.headers.get("Location") or "")


@contextlib.contextmanager
def _errors(address: Address, deadline: _Deadline) -> Iterator[None]:
    """Turn what the libraries raise into the two errors of an exchange."""
    try:
        yield
    except Exception as error:
        if deadline.over or isinstance(error, TimeoutError):
            raise Unavailable(f"{address}: no whole answer within {deadline.seconds:g} s") from None
        if isinstance(error, (InputError, Unavailable)):
            raise
        if isinstance(error, (http.client.IncompleteRead, ssl.SSLEOFError, ssl.SSLZeroReturnError)):
            raise Unavailable(f"{address}: the answer broke off") from None
        if isinstance(error, ssl.SSLError):
            raise _tls_failed(address, error) from None
        if isinstance(error, (socket.gaierror, UnicodeError)):
            raise UnknownHost(f"{address}: no such host; is --url right?") from None
        if isinstance(error, OSError):
            raise Unavailable(f"{address}: {error.strerror or 'the connection was closed without an answer'}") from None
        if isinstance(error, (http.client.HTTPException, ValueError)):
            raise InputError(f"{address}: the answer is not HTTP ({ascii(str(error))[:100]}); is --url the REST port?") from None
        raise


def _tls_failed(address: Address, error: ssl.SSLError) -> InputError:
    reason = getattr(error, "verify_message", None) or (error.reason or str(error)).replace("_", " ").lower()
    return InputError(f"{address}: TLS failed ({reason}); is it a TLS port, and does this machine trust its certificate "
                      "(SSL_CERT_FILE)?")


def _authorization(proxy: tuple[Address, str | None] | None) -> dict[str, str]:
    if not proxy or proxy[1] is None:
        return {}
    return {"Proxy-Authorization": f"Basic {b64encode(proxy[1].encode('utf-8', 'surrogateescape')).decode()}"}
