"""Web Push as browsers and their push services understand it, and what an address may not make us do."""

import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from time import monotonic, time
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from tornado.testing import bind_unused_port

from market.notifications.push_subscriptions import is_public
from tasks.senders import web_push as module
from tasks.senders.web_push import (
    Answer,
    Message,
    WebPush,
    base64url,
    encrypt,
)
from tests.support.servers import (
    Browser,
    Certificate,
    PushService,
    drip,
    unbase64url,
)

TEXT = "The price is ₩52,000.".encode()


def to(browser: Browser, text: bytes = TEXT, urgent: bool = False, topic: str | None = None) -> Message:
    return Message(browser.endpoint, browser.p256dh, browser.auth, text, urgent, topic)


def test_it_is_encrypted_as_in_the_example_of_rfc_8291() -> None:
    own = int.from_bytes(unbase64url("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"))
    sealed = encrypt(
        b"When I grow up, I want to be a watermelon",
        unbase64url(
            "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
        ),
        unbase64url("BTBZMqHH6r4Tts7J_aSIgg"),
        ec.derive_private_key(own, ec.SECP256R1()),
        unbase64url("DGv6ra1nlYgDCS1FRnbzlw"),
    )
    assert base64url(sealed) == (
        "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27ml"
        "mlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPT"
        "pK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
    )


def test_a_browser_reads_what_was_sent_and_its_service_knows_from_whom(
    web_push: WebPush, push_service: PushService
) -> None:
    browsers = [push_service.subscribe(web_push.public_key) for _ in range(3)]
    answers = web_push.send([to(browser, b"%d" % n) for n, browser in enumerate(browsers)])
    assert answers == [Answer(201)] * 3
    assert all(answer.taken and not answer.gone for answer in answers)
    received = {pushed.browser.endpoint: pushed for pushed in push_service.received}
    for n, browser in enumerate(browsers):
        pushed = received[browser.endpoint]
        assert pushed.text == b"%d" % n
        assert pushed.claims["sub"] == "mailto:us@example.org"
        assert time() < pushed.claims["exp"] < time() + 24 * 3600
        assert pushed.headers["Urgency"] == "normal"
        assert "Topic" not in pushed.headers


def test_urgency_and_topic_are_told(web_push: WebPush, push_service: PushService) -> None:
    browser = push_service.subscribe(web_push.public_key)
    web_push.send([to(browser, urgent=True, topic="019a00000000700080000000000000")])
    [pushed] = push_service.received
    assert (pushed.headers["Urgency"], pushed.headers["Topic"]) == ("high", "019a00000000700080000000000000")


def test_a_browser_that_subscribed_with_another_key_is_not_reached(
    web_push: WebPush, push_service: PushService
) -> None:
    other = replace(web_push, key=ec.generate_private_key(ec.SECP256R1()))
    browser = push_service.subscribe(other.public_key)
    assert web_push.send([to(browser)])[0].status == 403
    assert other.send([to(browser)])[0].taken


def test_what_a_service_says_is_told(web_push: WebPush, push_service: PushService) -> None:
    browser = push_service.subscribe(web_push.public_key)
    for status in (404, 410):
        push_service.answer(browser, status)
        assert web_push.send([to(browser)])[0].gone
    in_a_minute = format_datetime(datetime.now(UTC) + timedelta(seconds=61), usegmt=True)
    for text, least, most in (
        ("120", 120, 120),
        (in_a_minute, 50, 61),
        ("9" * 12, module.MAX_WAIT_S, module.MAX_WAIT_S),
        ("-5", 0, 0),
        ("soon", 0, 0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0, 0),
        ("Thu, 01 Jan 1970 00:00:00 +99999999999999", 0, 0),
        ("Thu, 01 Jan 99999999999999999999 00:00:00 GMT", 0, 0),
    ):
        push_service.answer(browser, 429, Retry_After=text)
        [answer] = web_push.send([to(browser)])
        assert (answer.status, answer.taken, answer.gone) == (429, False, False)
        assert least <= answer.retry_after_s <= most, text


def test_a_redirect_is_not_followed(web_push: WebPush, push_service: PushService) -> None:
    inside, browser = (push_service.subscribe(web_push.public_key) for _ in range(2))
    for status in (301, 302, 307, 308):
        push_service.answer(browser, status, Location=inside.endpoint)
        [answer] = web_push.send([to(browser)])
        assert (answer.status, answer.taken) == (status, False)
    assert push_service.requests == 4
    assert push_service.received == []


def test_one_that_cannot_be_sent_keeps_no_other_from_being_sent(
    web_push: WebPush, push_service: PushService
) -> None:
    browser = push_service.subscribe(web_push.public_key)
    listener, closed = bind_unused_port()
    listener.close()
    answers = web_push.send(
        [
            replace(to(browser), endpoint=f"http://localhost:{closed}/"),
            replace(to(browser), p256dh=b"no key"),
            replace(to(browser), endpoint="http://localhost:99999/"),
            to(browser, b"x" * (module.MAX_BYTES + 1)),
            to(browser, b"x" * module.MAX_BYTES),
        ]
    )
    assert [answer.status for answer in answers] == [0, 0, 0, 0, 201]
    assert all(answer.error for answer in answers[:4])


@pytest.fixture
def dripping() -> Iterator[str]:
    """An address that never finishes its answer."""
    listener, port = bind_unused_port()
    listener.setblocking(True)
    stop = threading.Event()
    thread = threading.Thread(target=drip, args=[listener, stop])
    thread.start()
    yield f"http://localhost:{port}/"
    stop.set()
    with socket.socket() as last:
        last.connect(("127.0.0.1", port))
    thread.join()
    listener.close()


def test_a_service_that_answers_byte_by_byte_is_left(
    web_push: WebPush, push_service: PushService, dripping: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TIMEOUT_S", 0.5)
    browser = push_service.subscribe(web_push.public_key)
    began = monotonic()
    slow, good = web_push.send([replace(to(browser), endpoint=dripping), to(browser)])
    assert monotonic() - began < 5
    assert (slow.status, good.status) == (0, 201)
    assert slow.error == "HTTPTimeoutError"


def test_slow_services_keep_others_waiting_together_and_not_one_after_the_other(
    web_push: WebPush, push_service: PushService, dripping: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TIMEOUT_S", 4)
    monkeypatch.setattr(module, "AT_ONCE", 2)
    browser = push_service.subscribe(web_push.public_key)
    began = monotonic()
    good, slow = to(browser), replace(to(browser), endpoint=dripping)
    answers = web_push.send([slow, good, good, slow, good])
    assert [answer.status for answer in answers] == [0, 201, 201, 0, 201]
    assert monotonic() - began < 7.5


def test_a_name_server_that_does_not_answer_is_left(
    web_push: WebPush, push_service: PushService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TIMEOUT_S", 0.5)
    browser = push_service.subscribe(web_push.public_key)
    look_up, answers = socket.getaddrinfo, threading.Event()

    def slowly(host: str, *args: Any) -> Any:
        if host == "slow.example":
            answers.wait(10)
        return look_up(host, *args)

    monkeypatch.setattr(socket, "getaddrinfo", slowly)
    began = monotonic()
    stuck = replace(to(browser), endpoint="https://slow.example/")
    sent = web_push.send([*[stuck] * 20, to(browser)])
    assert monotonic() - began < 5
    answers.set()
    assert [answer.status for answer in sent] == [0] * 20 + [201]


@pytest.fixture
def secure(certificate: Certificate) -> Iterator[PushService]:
    """A service that speaks TLS, as real ones do."""
    service = PushService(certificate.context)
    service.start()
    yield service
    service.stop()


def test_the_certificate_of_a_service_is_checked(
    web_push: WebPush, secure: PushService, certificate: Certificate
) -> None:
    browser = secure.subscribe(web_push.public_key)
    [answer] = web_push.send([to(browser)])
    assert (answer.status, answer.error) == (0, "SSLCertVerificationError")
    trusting = replace(web_push, trusted=certificate.certificate)
    assert trusting.send([to(browser)]) == [Answer(201)]
    assert [pushed.text for pushed in secure.received] == [TEXT]


def test_in_production_nothing_inside_is_connected_to(
    web_push: WebPush, push_service: PushService, secure: PushService, certificate: Certificate
) -> None:
    outside = replace(web_push, private_allowed=False, trusted=certificate.certificate)
    plain, browser = (service.subscribe(web_push.public_key) for service in (push_service, secure))
    port = secure.origin.rpartition(":")[2]
    addresses = ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1", "localhost", "0.0.0.0"]
    messages = [replace(to(browser), endpoint=f"https://{host}:{port}/push") for host in addresses]
    answers = outside.send([to(plain), *messages])
    assert {answer.error for answer in answers} == {"PrivateAddress"}
    assert push_service.requests + secure.requests == 0


@pytest.mark.parametrize(
    "address",
    [
        *("10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "127.8.8.8"),
        *("224.0.0.1", "255.255.255.255", "::", "::1", "fe80::1", "fe80::1%eth0", "fd00::1", "ff02::1"),
        *("::ffff:10.0.0.1", "64:ff9b::10.0.0.1", "2001:db8::1", "2002:a00:1::1", "2002:7f00:1::"),
    ],
)
def test_an_address_inside_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "142.250.206.106", "2606:4700:4700::1111", "64:ff9b::1.1.1.1"]
)
def test_an_address_outside_is_public(address: str) -> None:
    assert is_public(address)
