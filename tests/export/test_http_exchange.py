"""The client and the network: what is tried again and what is not, who gets a scan, what is shown of an address."""
import gzip
import ssl
import subprocess
import time

import nibabel as nib
import numpy as np
import pytest

from export import batch, client
from tests.export import hostile
from tests.export.hostile import as_json, http, outputs

GOOD = http(as_json(outputs()))
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(batch, "FIRST_WAIT", 0.01)
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def make_server(request):
    """A function that starts a server which answers well, or as it is told."""
    def make(answer=lambda _: GOOD, **given) -> hostile.Rest:
        server = hostile.Rest(answer, **given)
        request.addfinalizer(server.close)
        return server

    return make


@pytest.fixture
def segment(tmp_path, capsys):
    """A function that sends a scan to an address: the exit status, and what was said. A refusal must not take long."""
    path, mask = tmp_path / "a.nii.gz", tmp_path / "m.nii"
    path.write_bytes(gzip.compress(hostile.scan()))

    def run(url: str, *more: str) -> tuple[int, str]:
        mask.unlink(missing_ok=True)
        begin = time.monotonic()
        status = client.main([str(path), "--url", url, "-o", str(mask), *more])
        assert time.monotonic() - begin < 20
        assert mask.exists() == (status == 0)
        return status, capsys.readouterr().err

    return run


def state(name: str) -> bytes:
    return http({"model_version_status": [{"version": "1", "state": name}]})


@pytest.mark.parametrize("status", ["408 Timeout", "429 Many", "500 Broken", "502 Gateway", "503 Busy", "504 Gateway"])
def test_what_may_pass_is_tried_again(make_server, segment, status):
    answers = iter([http({"error": "busy"}, status), http(b"", status), b"", GOOD])
    server = make_server(lambda _: next(answers))
    code, said = segment(server.url)
    assert code == 0
    assert f"HTTP {status[:3]}: busy; asked again for up to 300 s" in said
    assert len(server.requests) == 5


def test_a_model_that_is_being_loaded_is_waited_for(make_server, segment):
    server, states = make_server(), iter(["START", "LOADING", "AVAILABLE"])
    server.state = lambda: state(next(states))
    assert segment(server.url)[0] == 0


@pytest.mark.parametrize("reply", [
    state("END"), http({"model_version_status": []}), http({"model_version_status": [{"version": 1, "state": "AVAILABLE"}]}),
    http([]), http({"model_version_status": {"a": "b"}}), http(b"AVAILABLE"), http(b"", "404 No"), http(b"", "403 No"),
    b"nonsense\r\n", http(b"[" * 2 ** 17), http(b"", "400 Bad"), http(b"x" * 2 ** 23)])
def test_a_server_that_is_none_is_told_at_once(make_server, segment, reply):
    server = make_server()
    server.state = reply
    code, said = segment(server.url)
    assert (code, said.count("\n"), len(server.requests)) == (2, 1, 1)


@pytest.mark.parametrize("url", [
    "http://no-such-host.invalid:8501", "https://no-such-host.invalid", "ftp://127.0.0.1:1", "file:///etc/passwd",
    "http://127.0.0.1:0"])
def test_hopeless_addresses_are_not_tried_again(segment, url):
    code, said = segment(url)
    assert (code, said.count("\n"), "asked again" in said) == (2, 1, False)


def test_a_plain_server_is_no_tls_server(make_server, segment):
    server = make_server()
    server.state = http(b"", "400 Bad")
    code, said = segment(server.url.replace("http:", "https:"))
    assert code == 2
    assert "TLS failed" in said
    assert "asked again" not in said


@pytest.fixture
def tls_server(make_server, tmp_path):
    """A server with a certificate for 127.0.0.1 of its own making, and the certificate's file."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-subj", "/CN=test", "-days", "2", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout",
                    str(key), "-out", str(certificate)],
                   check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return make_server(wrap=lambda wire: context.wrap_socket(wire, server_side=True)), certificate


def test_tls_needs_a_certificate_that_is_trusted(tls_server, segment, monkeypatch):
    server, certificate = tls_server
    secure = server.url.replace("http:", "https:")
    code, said = segment(secure)
    assert (code, "TLS failed (self" in said, "asked again" in said) == (2, True, False)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert segment(secure.replace("127.0.0.1", "localhost"))[0] == 2        # of another name
    assert not server.requests
    assert segment(secure)[0] == 0


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(make_server, segment, status):
    other = make_server()
    target = other.url.replace("//", "//me:secret@")
    server = make_server(lambda _: http(b"", f"{status} Moved", f"Location: {target}/v1?key=secret\r\n"))
    code, said = segment(server.url)
    assert (code, "not followed" in said, other.url in said, "secret" in said) == (2, True, True, False)
    server.state = http(b"", f"{status} Moved", f"Location: {target}\r\n")
    assert segment(server.url)[0] == 2
    assert not other.requests


def test_a_proxy_gets_no_scan_for_this_machine(make_server, segment, monkeypatch):
    server, proxy = make_server(), make_server()
    monkeypatch.setenv("http_proxy", proxy.url)
    for name in ("127.0.0.1", "localhost"):
        assert segment(server.url.replace("127.0.0.1", name))[0] == 0
    assert not proxy.requests


def test_a_proxy_gets_what_goes_elsewhere_and_its_password_is_not_shown(make_server, segment, monkeypatch):
    proxy = make_server()
    monkeypatch.setenv("http_proxy", proxy.url.replace("//", "//me:secret@"))
    assert segment("http://far.invalid:8501")[0] == 0
    assert proxy.requests[0].startswith("GET http://far.invalid:8501/v1/models/synergynet HTTP/1.1")
    assert all("proxy-authorization: basic bwu6c2vjcmv0" in request for request in proxy.requests)     # in lower case
    proxy.state = http(b"", "407 Proxy Authentication Required")
    code, said = segment("http://far.invalid:8501")
    assert (code, "407" in said, "secret" in said) == (2, True, False)
    monkeypatch.setenv("https_proxy", proxy.url.replace("//", "//me:secret@"))
    code, said = segment("https://far.invalid")
    assert (code, "the proxy" in said, "secret" in said, "asked again" in said) == (2, True, False, False)
    assert proxy.requests[-1].startswith("CONNECT far.invalid:443")


def test_an_answer_that_comes_before_all_was_sent_is_read(make_server, tmp_path, capsys):
    """A reverse proxy that takes no such length says so, and hangs up."""
    path = tmp_path / "a.nii"
    path.write_bytes(nib.Nifti1Image(np.ones((256, 256, 128), np.int16), hostile.AFFINE).to_bytes())
    server = make_server(hasty=http(b"too large", "413 Payload Too Large"))
    assert client.main([str(path), "--url", server.url, "-o", str(tmp_path / "m.nii"), "--patience", "1"]) == 2
    assert "HTTP 413: too large" in capsys.readouterr().err


@pytest.mark.parametrize("url", ["http://user:secret@127.0.0.1:8501", "http://127.0.0.1:8501/?key=secret"])
def test_credentials_are_not_shown(segment, url):
    code, said = segment(url)
    assert (code, "secret" in said, said.count("\n")) == (2, False, 1)


def test_what_a_reverse_proxy_asks_for_goes_to_it_alone_and_is_not_shown(make_server, segment, tmp_path):
    server, secret = make_server(), tmp_path / "secret"
    secret.write_text("Bearer secret\n")
    assert segment(server.url, "--authorization", str(secret))[0] == 0
    assert all("authorization: bearer secret\r\n" in request for request in server.requests)
    server.state = http(b"", "401 Unauthorized")
    for url in (server.url, "http://far.invalid:8501"):
        code, said = segment(url, "--authorization", str(secret))
        assert (code, "Bearer" in said) == (2, False)
    assert "in the clear" in said
    for bad in ("", "secret\nX: y", "secret\0", "sécret"):
        secret.write_text(bad, encoding="latin-1")
        code, said = segment(server.url, "--authorization", str(secret))
        assert (code, "must hold one line" in said, bad in said) == (2, True, not bad)


def test_grpc_at_the_rest_port_and_rest_at_the_grpc_port(make_server, segment):
    pytest.importorskip("tensorflow_serving")
    server = hostile.Grpc(lambda *_: b"")
    try:
        code, said = segment(f"http://{server.url}")
        assert (code, "is not HTTP" in said) == (2, True)
    finally:
        server.close()
    code, said = segment(make_server().url.removeprefix("http://"), "--grpc")
    assert (code, "is not gRPC" in said) == (2, True)
    code, said = segment("no-such-host.invalid:8500", "--grpc")
    assert (code, "no such host" in said) == (2, True)
