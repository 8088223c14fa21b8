"""Addresses: what is taken, what is refused without being shown, and whose proxies are used."""
import contextlib
import socket
import threading

import pytest

from export.address import Address, is_loopback, parse, proxy_for
from export.http_exchange import Unavailable
from export.transport import connect
from synergynet_tf.errors import InputError


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(("url", "grpc", "found"), [
    ("http://localhost:8501", False, Address("http", "localhost", 8501)), ("http://host", False, Address("http", "host", 80)),
    ("https://Host.Example/", False, Address("https", "host.example", 443)), ("http://[::1]:1", False, Address("http",
    "::1", 1)),
    ("https://host/models", False, Address("https", "host", 443, "/models")), ("host:8500", True, Address("grpc",
    "host", 8500)),
    ("grpc://10.0.0.1:8500", True, Address("grpc", "10.0.0.1", 8500)), ("[::1]:8500", True, Address("grpc", "::1", 8500)),
    ("http://bücher.example:8501", False, Address("http", "bücher.example", 8501))])
def test_what_is_an_address(url, grpc, found):
    assert parse(url, grpc) == found
    assert parse(str(found), grpc) == found


@pytest.mark.parametrize("url", [
    "", "host", "host:8501", "ftp://host", "file:///etc/passwd", "HTTP:host", "http://", "http:///x", "http://:8501",
    "http://host:0",
    "http://host:65536", "http://host:-1", "http://host:x", "http://[::1", "http://[::1%25eth0]:1", "http://a b", "http://a\tb",
    "http://a\r\nX: y",
    "http://host\\x", "http://.host", "http://host..x", "http://" + "a" * 64, "http://ho st:1", "http://host/a b",
    "http://host/\udcff",
    "http://host/%0d%0aX", "javascript:alert(1)", "unix:/run/x"])
def test_what_is_none(url):
    with pytest.raises(InputError, match="--url is .*http://HOST:PORT"):
        parse(url, False)


@pytest.mark.parametrize("url", ["host", "host:", "host:0", "http://host:8500", "unix:/run/x", "dns:///host:1", ":8500",
                                 "host:1/a",
                                 "host:99999", "xds:///a", "ipv4:127.0.0.1:1", "vsock:1:2", "a,b:1"])
def test_what_is_none_for_grpc(url):
    with pytest.raises(InputError, match="--url is .*HOST:PORT"):
        parse(url, True)


@pytest.mark.parametrize("grpc", [False, True])
@pytest.mark.parametrize("url", ["http://user:secret@host:1", "https://secret@host", "user:secret@host:1",
                                 "http://host?key=secret", "http://host#secret", "http://user:se/cret@host",
                                 "http:// @secret", "http://a:secret%40@h:port"])
def test_credentials_are_refused_and_not_shown(url, grpc):
    with pytest.raises(InputError, match="user name, a password") as error:
        parse(url, grpc)
    assert "cret" not in str(error.value)


@pytest.mark.parametrize(("host", "here"), [
    ("localhost", True), ("LOCALHOST", True), ("a.localhost", True), ("localhost.", True), ("127.0.0.1", True),
    ("127.8.9.1", True), ("127.1", True), ("2130706433", True), ("0x7f.1", True), ("::1", True), ("0:0:0:0:0:0:0:1", True),
    ("::ffff:127.0.0.1", True),
    ("0.0.0.0", True), ("::", True), ("10.0.0.1", False), ("8.8.8.8", False), ("::ffff:8.8.8.8", False),
    ("server.invalid", False),
    ("localhost.invalid", False), ("127.0.0.1.invalid", False)])
def test_this_machine_in_any_writing(host, here, monkeypatch):
    assert is_loopback(host) == here
    monkeypatch.setenv("http_proxy", "http://proxy:3128")
    assert (proxy_for(Address("http", host, 8501)) is None) == here


def test_proxies_of_the_environment(monkeypatch):
    plain, secure = Address("http", "far.invalid", 8501), Address("https", "far.invalid", 443)
    assert proxy_for(plain) is None
    monkeypatch.setenv("http_proxy", "proxy:3128")
    assert proxy_for(plain) == (Address("http", "proxy", 3128), None)
    assert proxy_for(secure) is None
    monkeypatch.setenv("all_proxy", "http://me:p%40ss@w:ord@proxy:8080/")
    assert proxy_for(secure) == (Address("http", "proxy", 8080), "me:p@ss@w:ord")
    monkeypatch.setenv("no_proxy", "other,far.invalid")
    assert proxy_for(plain) is None
    monkeypatch.setenv("no_proxy", "far.invalid:8501")
    assert proxy_for(plain) is None


@pytest.mark.parametrize("proxy", ["socks5://me:secret@proxy:1", "http://me:secret@pro xy", "http://me:secret@proxy:port",
                                 "secret@",
                                   "https://me:secret@proxy:1", "http://secret?@"])
def test_proxies_that_are_none_are_not_shown(proxy, monkeypatch):
    monkeypatch.setenv("http_proxy", proxy)
    with pytest.raises(InputError, match="http_proxy is no address") as error:
        proxy_for(Address("http", "far.invalid", 8501))
    assert "secret" not in str(error.value)
    assert proxy_for(Address("http", "127.0.0.1", 8501)) is None


def listener():
    """A port of this machine, and what was sent there first by whoever came."""
    waiting, seen = socket.create_server(("127.0.0.1", 0)), []

    def listen():
        while True:
            connection, _ = waiting.accept()
            with connection, contextlib.suppress(OSError):
                connection.settimeout(1)
                seen.append(connection.recv(7))

    threading.Thread(target=listen, daemon=True).start()
    return waiting.getsockname()[1], seen


@pytest.mark.parametrize("use_grpc", [False, True], ids=["rest", "grpc"])
def test_a_proxy_gets_nothing_that_goes_to_this_machine(use_grpc, monkeypatch):
    pytest.importorskip("tensorflow_serving")
    (proxy, asked), (port, served) = listener(), listener()
    for name in ("http_proxy", "https_proxy", "all_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy}")
    server = connect(f"localhost:{port}" if use_grpc else f"http://localhost:{port}", use_grpc, "synergynet", 3)
    with pytest.raises((Unavailable, InputError)):      # it answers nothing
        server.channels()
    assert served and not asked
