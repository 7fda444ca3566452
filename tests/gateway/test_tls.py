"""TLS, by the example for production in conf/nginx."""

import asyncio
import socket
import ssl

from server import render
from server.settings import REPO
from tests.support.gateway import (
    Certificate,
    Gateway,
    StartGateway,
    exchange,
    nginx_program,
    parse,
    request,
    run,
)
from tests.support.ports import free_port


def production(certificate: Certificate) -> dict[str, str]:
    """The example with a certificate, ports and an address of the test."""
    lines = (REPO / "conf" / "nginx" / "production.env").read_text().splitlines()
    values = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    settings = {name.removeprefix("NEIGHBORBID_"): value for name, value in values.items()}
    own = {
        "HTTP_HOST": "127.0.0.1",
        "HTTP_PORT": str(free_port()),
        "HTTPS_PORT": str(free_port()),
        "TLS_CERTIFICATE": str(certificate.certificate),
        "TLS_KEY": str(certificate.key),
    }
    assert own.keys() <= settings.keys()
    return settings | own


def trusting(certificate: Certificate) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(certificate.ca))
    context.check_hostname = False
    return context


def handshake(gateway: Gateway, context: ssl.SSLContext) -> ssl.SSLSocket:
    raw = socket.create_connection(("127.0.0.1", gateway.settings.gateway.https_port), timeout=5)
    return context.wrap_socket(raw, server_hostname="localhost")


async def test_the_example_for_production_runs(start_gateway: StartGateway, certificate: Certificate) -> None:
    gateway = await start_gateway(**production(certificate))
    assert gateway.settings.gateway.url == f"https://127.0.0.1:{gateway.settings.gateway.https_port}"
    text = await exchange(
        gateway.settings.gateway.https_port, request("GET", "/api/v1/me"), trusting(certificate)
    )
    answer = parse(text)
    assert answer.status == 200
    assert answer.headers["strict-transport-security"] == "max-age=31536000"
    assert gateway.echo.seen[-1].headers["x-forwarded-proto"] == "https"


async def test_the_plain_port_only_says_where_to_go(
    start_gateway: StartGateway, certificate: Certificate
) -> None:
    gateway = await start_gateway(**production(certificate))
    for method, path in (("GET", "/api/v1/me?x=1"), ("POST", "/"), ("GET", "/ws/live"), ("GET", "/metrics")):
        answer = await gateway.ask(method, path)
        assert answer.status == 308
        assert (
            answer.headers["location"] == f"https://bid.example:{gateway.settings.gateway.https_port}{path}"
        )
        assert "strict-transport-security" not in answer.headers
    assert gateway.echo.seen == []


async def test_plain_http_on_the_port_of_tls_is_refused(
    start_gateway: StartGateway, certificate: Certificate
) -> None:
    gateway = await start_gateway(**production(certificate))
    answer = parse(await exchange(gateway.settings.gateway.https_port, request("GET", "/api/v1/me")))
    assert (answer.status, answer.headers["content-type"]) == (400, "application/problem+json")


async def test_protocols_are_modern(start_gateway: StartGateway, certificate: Certificate) -> None:
    gateway = await start_gateway(**production(certificate))
    context = trusting(certificate)
    context.set_alpn_protocols(["h2", "http/1.1"])
    with await asyncio.to_thread(handshake, gateway, context) as tls:
        assert (tls.version(), tls.selected_alpn_protocol()) == ("TLSv1.3", "h2")
    # No ticket: what a thief of Nginx's memory could open later.
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with await asyncio.to_thread(handshake, gateway, context) as tls:
        assert tls.version() == "TLSv1.2"
        assert tls.session is not None
        assert not tls.session.has_ticket
    address = f"127.0.0.1:{gateway.settings.gateway.https_port}"
    old = run(["openssl", "s_client", "-connect", address, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0"])
    assert "alert protocol version" in old.stderr


async def test_ocsp_is_stapled_where_a_chain_is_given(
    start_gateway: StartGateway, certificate: Certificate
) -> None:
    gateway = await start_gateway(**production(certificate), TLS_CHAIN=str(certificate.ca))
    conf = render.nginx(gateway.settings, nginx_program())
    assert "ssl_stapling on;" in (conf.parent / "tls.conf").read_text()
    checked = run([nginx_program(), "-t", "-e", "stderr", "-c", conf])
    assert checked.returncode == 0
    assert "[warn]" not in checked.stderr, "Nginx found the certificate's OCSP server and its issuer"
