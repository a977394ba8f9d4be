"""The way to the SuperLink and the ports of this machine, with real servers and proxies."""

from __future__ import annotations

import email.utils
import os
import re
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ms_pfl.deployment.network import LOOPBACK, Address, check_port, probe, without_local_proxy
from ms_pfl.errors import InputError
from network_examples import (
    HOST,
    ConnectProxy,
    expire,
    free_port,
    https_server,
    make_authority,
    make_certificates,
)

PROXIES = [f"{scheme}_proxy" for scheme in ("http", "https", "all", "no", "grpc", "no_grpc")]


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificates(tmp_path_factory.mktemp("network") / "certificates", HOST)


@pytest.fixture(scope="module")
def superlink(certificates: Path) -> Iterator[Address]:
    with https_server(certificates) as address:
        yield address


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("fl.example.org:9443", "fl.example.org", 9443),
        ("192.0.2.7:443", "192.0.2.7", 443),
        ("[2001:db8::7]:9443", "2001:db8::7", 9443),
    ],
)
def test_addresses(text: str, host: str, port: int) -> None:
    assert Address.read(text) == Address(host, port)
    assert str(Address.read(text)) == text


@pytest.mark.parametrize(
    "text",
    ["fl.example.org", "fl.example.org:", ":9443", "https://fl.example.org:9443", "a:0", "a:65536",
     "2001:db8::7:9443", "a b:1", "fl.example.org:9443/"],
)  # fmt: skip
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(InputError, match="must be HOST:PORT") as caught:
        Address.read(text)
    assert repr(text) in str(caught.value)


def takes_proxy(environment: Mapping[str, str], url: str, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether Flower's HTTP client takes a proxy that is not there, instead of nobody's port."""
    seen: list[object] = []

    def trace(event: str, told: Mapping[str, object]) -> None:
        if event == "connection.connect_tcp.started":
            seen.append(told["port"])

    with monkeypatch.context() as patch:
        for name in [*PROXIES, *map(str.upper, PROXIES)]:
            patch.delenv(name, raising=False)
            if name in environment:
                patch.setenv(name, environment[name])
        with httpx.Client() as client, pytest.raises(httpx.TransportError):
            client.get(url, extensions={"trace": trace})
    return seen == [1]


@pytest.mark.parametrize("scheme", ["http", "https", "all"])
@pytest.mark.parametrize("upper", [False, True])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_the_loopback_is_reached_directly(
    scheme: str, upper: bool, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"{scheme}_proxy".upper() if upper else f"{scheme}_proxy"
    url = f"{'https' if scheme == 'https' else 'http'}://{host}:{free_port()}"
    given = {name: "http://127.0.0.1:1", "NO_PROXY": "example.org"}
    assert takes_proxy(given, url, monkeypatch)
    assert not takes_proxy(without_local_proxy(given), url, monkeypatch)


def test_what_is_reached_without_a_proxy_stays_so() -> None:
    more = ",".join(LOOPBACK)
    assert without_local_proxy({}) == {"no_proxy": more, "NO_PROXY": more}
    got = without_local_proxy({"NO_PROXY": "a.org, b.org", "X": "1"}, "192.0.2.7")
    wanted = f"a.org,b.org,{more},192.0.2.7"
    assert got == {"no_proxy": wanted, "NO_PROXY": wanted, "X": "1"}
    # as Flower's client reads them, the name in small letters wins
    got = without_local_proxy({"NO_PROXY": "a.org", "no_proxy": "b.org", "no_grpc_proxy": "c"})
    assert got["NO_PROXY"] == got["no_proxy"] == f"b.org,{more}"
    assert got["no_grpc_proxy"] == f"c,{more}"


@given(st.lists(st.sampled_from([*LOOPBACK, "a.org", " b.org ", "", "*"])).map(",".join))
def test_the_loopback_is_added_once(value: str) -> None:
    once = without_local_proxy({"no_proxy": value})
    assert without_local_proxy(once) == once
    assert set(LOOPBACK) <= set(once["no_proxy"].split(","))


def test_the_probe_goes_directly(superlink: Address, certificates: Path) -> None:
    assert probe(superlink, certificates / "ca.crt") == "directly"


@pytest.mark.parametrize("name", ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])
def test_the_probe_goes_through_the_proxy(
    name: str, superlink: Address, certificates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ConnectProxy() as proxy:
        monkeypatch.setenv(name, f"http://user:secret@{proxy.address}/")
        way = probe(superlink, certificates / "ca.crt")
        assert way == f"through the proxy {proxy.address} (from {name})"
        assert proxy.asked == [f"CONNECT {superlink}"]
        monkeypatch.setenv("no_proxy", HOST)
        assert probe(superlink, certificates / "ca.crt") == "directly"
        assert len(proxy.asked) == 1


def test_variables_that_flower_does_not_read(
    superlink: Address, certificates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("grpc_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")  # the SuperLink is reached by https
    assert probe(superlink, certificates / "ca.crt") == "directly"


@pytest.mark.parametrize(
    ("refusal", "cause"),
    [
        ("403 Forbidden", "refuses the connection to {} (403 Forbidden): ask its administrator"),
        ("407 Proxy Authentication Required", "wants a user name and a password (407 "),
        ("502 Bad Gateway", "does not reach {} (502 Bad Gateway): see with its administrator"),
    ],
)
def test_a_proxy_that_refuses_is_named(
    refusal: str,
    cause: str,
    superlink: Address,
    certificates: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with ConnectProxy(refusal) as proxy:
        monkeypatch.setenv("https_proxy", proxy.address)
        with pytest.raises(InputError) as caught:
            probe(superlink, certificates / "ca.crt")
        said = str(caught.value)
        start = f"the proxy {proxy.address} (from https_proxy) {cause.format(superlink)}"
        assert said.startswith(start), said
        obey(said, monkeypatch)
        assert probe(superlink, certificates / "ca.crt") == "directly"


def obey(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the command that a message ends with to a shell, and take over what it sets."""
    command = re.search(r"bypass it: (export .*)$", said)
    assert command, said
    shell = subprocess.run(
        ["bash", "-c", f'{command[1]}; printf %s "$no_proxy"'],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    monkeypatch.setenv("no_proxy", shell.stdout)


def test_a_proxy_that_is_not_there_is_named(
    superlink: Address, certificates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("no_proxy", "a.org")
    with pytest.raises(
        InputError,
        match=rf"^the proxy 127.0.0.1:{port} \(from HTTPS_PROXY\) cannot be used \(Connection ref",
    ) as caught:
        probe(superlink, certificates / "ca.crt")
    obey(str(caught.value), monkeypatch)
    assert os.environ["no_proxy"] == f"a.org,{HOST}"
    assert probe(superlink, certificates / "ca.crt") == "directly"
    monkeypatch.setenv("HTTPS_PROXY", "http://nowhere.invalid:3128")
    monkeypatch.delenv("no_proxy")
    with pytest.raises(InputError, match=r"the proxy nowhere.invalid:3128 .* cannot be used \("):
        probe(superlink, certificates / "ca.crt")


@pytest.mark.parametrize(
    ("name", "value", "cause"),
    [
        ("all_proxy", "socks5://127.0.0.1:1", "all_proxy names a socks5 proxy.*unset all_proxy"),
        ("HTTP_PROXY", "socks://127.0.0.1:1", "http_proxy names a socks proxy.*HTTP_PROXY"),
        ("no_proxy", "[::1]", r"cannot be read \(.*\); correct no_proxy"),
    ],
)
def test_settings_that_end_flower_itself(
    name: str,
    value: str,
    cause: str,
    superlink: Address,
    certificates: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=cause):
        probe(superlink, certificates / "ca.crt")


def test_nobody_listens(certificates: Path) -> None:
    address = Address(HOST, free_port(HOST))
    with pytest.raises(InputError, match=rf"^nobody listens at {address} \(connection refused\)"):
        probe(address, certificates / "ca.crt")


def test_an_unknown_name(certificates: Path) -> None:
    with pytest.raises(InputError, match=r"^the host name 'nowhere\.invalid' is unknown here \("):
        probe(Address("nowhere.invalid", 9443), certificates / "ca.crt")


def test_no_answer(certificates: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ms_pfl.deployment.network._SECONDS", 0.3)
    with socket.create_server((HOST, 0), backlog=0) as full:
        address = Address(HOST, full.getsockname()[1])
        waiting = [socket.socket() for _ in range(3)]  # the queue is full: the next is dropped
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        time.sleep(0.1)
        with pytest.raises(InputError, match=rf"^{address} does not answer within .*: a firewall"):
            probe(address, certificates / "ca.crt")
        for one in waiting:
            one.close()


def test_no_tls(certificates: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server((HOST, 0)) as silent:
        monkeypatch.setattr("ms_pfl.deployment.network._SECONDS", 0.3)
        address = Address(HOST, silent.getsockname()[1])
        with pytest.raises(InputError, match=rf"^{address} takes the connection and then says not"):
            probe(address, certificates / "ca.crt")
    with (
        https_server(None) as address,
        pytest.raises(InputError, match=rf"^{address} does not speak TLS \("),
    ):
        probe(address, certificates / "ca.crt")


def test_certificates(superlink: Address, certificates: Path, tmp_path: Path) -> None:
    other = make_authority(tmp_path / "other")
    with pytest.raises(InputError, match=rf"^{superlink} does not show a certificate for {HOST} "):
        probe(superlink, other)
    with (
        https_server(expire(certificates, tmp_path / "expired")) as address,
        pytest.raises(InputError, match=rf"certificate of {address} is out of date \(certificate"),
    ):
        probe(address, certificates / "ca.crt")
    with (
        https_server(certificates, host="127.0.0.3") as address,
        pytest.raises(InputError, match=r"for 127\.0\.0\.3 that .*\(IP address mismatch"),
    ):
        probe(address, certificates / "ca.crt")
    (tmp_path / "no.crt").write_text("nothing")
    for name in ("no.crt", "absent.crt"):
        with pytest.raises(InputError, match=rf"{name} cannot be read as certificates"):
            probe(superlink, tmp_path / name)


def test_a_proxy_that_opens_tls_is_suspected(
    superlink: Address, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = make_authority(tmp_path / "other")
    with ConnectProxy() as proxy:
        monkeypatch.setenv("https_proxy", proxy.address)
        with pytest.raises(InputError, match=r"through the proxy .*, which must pass TLS through"):
            probe(superlink, other)


def test_what_answers_for_the_superlink(certificates: Path) -> None:
    with (
        https_server(certificates, status=503) as address,
        pytest.raises(InputError, match=rf"^{address} answers 503 Service Unavailable: what"),
    ):
        probe(address, certificates / "ca.crt")
    with (
        https_server(certificates, date=email.utils.formatdate(time.time() - 400)) as address,
        pytest.raises(InputError, match=r"^the clock of this machine says .* five minutes"),
    ):
        probe(address, certificates / "ca.crt")


def test_ports() -> None:
    check_port("127.0.0.1", free_port(), "the site", "name another")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for host in ("127.0.0.1", "0.0.0.0", "localhost"):
            with pytest.raises(InputError) as caught:
                check_port(host, port, "the site", "name another")
            said = str(caught.value)
            assert re.fullmatch(
                rf"port {port}, for the site, is taken by (another program|\S+ \(process "
                rf"{os.getpid()}\)): name another",
                said,
            ), said
    check_port("127.0.0.1", port, "the site", "name another")
    with pytest.raises(InputError, match=r"^the site cannot listen at 192\.0\.2\.1 \("):
        check_port("192.0.2.1", port, "the site", "name another")
