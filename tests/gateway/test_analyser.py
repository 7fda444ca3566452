"""An analyser of Nginx's configuration (gixy-ng) reads what is rendered."""

import json
import sys
from pathlib import Path

import pytest

from server import render
from tests.support.gateway import Certificate, StartGateway, nginx_program, run

JUSTIFIED = {
    "host_spoofing": "The processes compare it with Origin, port included, which $host lacks.",
    "try_files_is_evil_too": "It is about speed: the kernel remembers the few files of web/.",
}
"""Findings that stay, and why. The only place for them."""


@pytest.mark.parametrize("tls", [False, True])
async def test_the_analyser_finds_nothing(
    start_gateway: StartGateway, certificate: Certificate, tls: bool
) -> None:
    files = {"TLS_CERTIFICATE": certificate.certificate, "TLS_KEY": certificate.key} if tls else {}
    gateway = await start_gateway(
        ALLOWED_ORIGINS="https://app.example,http://localhost:5173",
        **{name: str(path) for name, path in files.items()},
    )
    conf = render.nginx(gateway.settings, nginx_program())
    gixy = Path(sys.executable).with_name("gixy")
    done = run([gixy, "-f", "json", conf])
    findings = json.loads(done.stdout)
    assert {finding["plugin"] for finding in findings} == set(JUSTIFIED), findings
