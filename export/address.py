"""Addresses of servers: what --url may be, and whether a proxy of the environment lies on the way.

An address is checked whole before anything is sent, and what is shown of one never holds a user name or a password.
"""
import ipaddress
import re
import socket
import urllib.parse
import urllib.request
from typing import NamedTuple

from synergynet_tf.errors import InputError

PORTS = {"http": 80, "https": 443}
EXAMPLES = {True: "HOST:PORT, as localhost:8500", False: "http://HOST:PORT or https://HOST, as http://localhost:8501"}
NAME = re.compile(r"[\w.-]+|[0-9a-f:.]+", re.IGNORECASE)        # a host, or an IPv6 address without its brackets


class Address(NamedTuple):
    """Where a server is."""

    scheme: str         # http, https or grpc
    host: str           # an IPv6 address without brackets
    port: int
    path: str = ""      # before /v1, where a reverse proxy has the server under a folder

    @property
    def place(self) -> str:
        """HOST:PORT."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        return self.place if self.scheme == "grpc" else f"{self.scheme}://{self.place}{self.path}"


def parse(url: str, use_grpc: bool) -> Address:
    """The address that --url gives.

    Raises:
        InputError: for what cannot be one, or holds more than an address.
    """
    if "@" in url or "?" in url or "#" in url:      # not shown: it may be a password or a key
        raise InputError("--url holds a user name, a password or a query (@, ? or #), which others on this machine could read: "
                         f"give the address alone, {EXAMPLES[use_grpc]}, and what a reverse proxy asks for by --authorization")
    shown = ascii(url)[1:-1]
    wanted = InputError(f"--url is {shown}, but {'with --grpc' if use_grpc else 'without --grpc'} it is {EXAMPLES[use_grpc]}")
    if use_grpc:
        url = url if url.startswith("grpc://") else f"grpc://{url}"
    try:
        parts = urllib.parse.urlsplit(url)
        host, port = parts.hostname or "", parts.port
        if not url.isprintable() or re.search(r"[\s\\%]", url) or not NAME.fullmatch(host):
            raise wanted
        host.encode("idna")
    except ValueError:          # InputError is one: a port above 65535, a bracket too many, a label of 64 letters
        raise wanted from None
    port = PORTS.get(parts.scheme) if port is None else port
    if not port or parts.scheme not in (("grpc",) if use_grpc else PORTS) or (use_grpc and parts.path.strip("/")):
        raise wanted
    return Address(parts.scheme, host, port, parts.path.rstrip("/"))


def is_loopback(host: str) -> bool:
    """Whether a host is this machine itself: localhost, 127.x.x.x, ::1 in any writing, or a name that stands for them."""
    found = [ipaddress.ip_address(text.split("%")[0]) for text in _addresses(host)]
    if not found:
        return host.lower().rstrip(".").split(".")[-1] == "localhost"
    plain = [getattr(address, "ipv4_mapped", None) or address for address in found]      # ::ffff:127.0.0.1 is an IPv4 address
    return all(address.is_loopback or address.is_unspecified for address in plain)


def is_known(host: str) -> bool:
    """Whether a host's name can be resolved now."""
    return bool(_addresses(host))


def _addresses(host: str) -> list[str]:
    """The addresses of a host; none where its name cannot be resolved now."""
    try:
        return [str(entry[4][0]) for entry in socket.getaddrinfo(host, None)]
    except (OSError, ValueError):
        return []


def proxy_for(address: Address) -> tuple[Address, str | None] | None:
    """The HTTP proxy that the environment asks for on the way to an address, and its USER:PASSWORD; none for this machine itself.

    Read are http_proxy, https_proxy, all_proxy and no_proxy, as other programs do.

    Raises:
        InputError: for what is no HTTP proxy.
    """
    proxies = urllib.request.getproxies()
    variable = address.scheme if address.scheme in proxies else "all"
    if not proxies.get(variable) or is_loopback(address.host) or urllib.request.proxy_bypass(address.place):
        return None
    value = proxies[variable] if "://" in proxies[variable] else f"http://{proxies[variable]}"
    user, _, rest = value.rpartition("@")
    try:
        proxy = parse(f"{value.split('://')[0]}://{rest}" if user else value, use_grpc=False)
        if proxy.scheme != "http":
            raise ValueError
    except ValueError:      # the variable may hold a password, so its value is not shown
        raise InputError(f"the environment variable {variable}_proxy is no address of an HTTP proxy, as http://HOST:PORT; "
                         f"correct it, or name {address.host} in no_proxy") from None
    return proxy, urllib.parse.unquote(user.split("://", 1)[1]) if user else None
