"""T-56 and T-57: no webhook reaches a network that is not the public internet, however its address is written."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Sequence
from ipaddress import ip_address

import pytest

from meshwright.errors import InputError
from meshwright.service.db import Database
from meshwright.service.settings import Settings
from meshwright.service.webhooks import guard
from meshwright.service.webhooks.addresses import is_public, is_site, parse_address
from meshwright.service.webhooks.deliver import Deliverer
from meshwright.service.webhooks.guard import check_target, check_url

from .conftest import PEM, Listener, Receiver

PUBLIC = ["93.184.216.34", "8.8.8.8", "1.1.1.1", "192.0.1.1", "172.32.0.1", "100.128.0.1", "2606:4700:4700::1111",
          "2a00:1450:4001:80b::200e", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"]  # fmt: skip
NOT_PUBLIC = [
    # this machine, private, link-local with clouds' metadata, CGNAT
    "127.0.0.1", "127.255.255.254", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1",
    "169.254.169.254", "100.64.0.1", "100.100.100.200", "168.63.129.16", "192.0.0.8", "192.0.0.192",
    # documentation, benchmarks, multicast, reserved, broadcast, relay anycast
    "192.0.2.1", "198.51.100.1", "203.0.113.1", "198.18.0.1", "224.0.0.1", "239.255.255.255", "240.0.0.1",
    "255.255.255.255", "192.88.99.1",
    # the same in IPv6
    "::", "::1", "fe80::1", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1", "2001:db8::1", "3fff::1", "100::1",
    "5f00::1", "3ffe::1",
    # IPv6 that carries an IPv4 address: mapped, compatible, translated, NAT64, 6to4, Teredo, ISATAP
    "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "::ffff:0:127.0.0.1",
    "64:ff9b::7f00:1", "64:ff9b::10.0.0.1", "64:ff9b:1::7f00:1", "2002:7f00:1::", "2002:a00:1::1", "2002:808:808::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001::7f00:1", "fe80::5efe:127.0.0.1", "2606:4700::5efe:10.0.0.1",
    "2606:4700::200:5efe:a9fe:a9fe",
]  # fmt: skip


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_no_other_address_is_public(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "192.168.0.9", "::1", "fd12::1", "::ffff:127.0.0.1"])
def test_a_site_of_ones_own_can_be_opened(address: str) -> None:
    assert is_site(ip_address(address))


@pytest.mark.parametrize("address", ["169.254.169.254", "fe80::1", "0.0.0.0", "224.0.0.1", "::"])
def test_metadata_and_multicast_stay_shut_even_then(address: str) -> None:
    assert not is_site(ip_address(address))


@pytest.mark.parametrize("text", ["fe80::1%eth0", "no address", "", "1.2.3", "0x7f.1"])
def test_what_is_no_plain_address_is_none(text: str) -> None:
    assert parse_address(text) is None


@pytest.mark.parametrize(
    "url",
    [
        "", "http://example.com/", "file:///etc/passwd", "gopher://example.com/", "ftp://example.com/", "//example.com",
        "https://", "https:///path", "https://user@example.com/", "https://user:pw@example.com/",
        "https://example.com:22/", "https://example.com:80/", "https://example.com:6379/", "https://exa mple.com/",
        "https://example.com/\r\nX: y", "https://example.com\\@evil.example/", "https://" + "a" * 3000, "https://[::1",
        "javascript:alert(1)", "https://example.com:99999/", "https://exa\u202emple.com/",
    ],
)  # fmt: skip
def test_other_forms_of_url_are_refused(url: str) -> None:
    with pytest.raises(InputError) as caught:
        check_url(url)
    assert caught.value.reason == "webhook_url"


@pytest.mark.parametrize(
    "url", ["https://example.com/", "https://example.com:8443/a?b=c", "https://bücher.example/", "https://8.8.8.8/"]
)
def test_plain_https_urls_pass(url: str) -> None:
    check_url(url)


def test_a_fragment_is_not_sent() -> None:
    assert str(check_url("https://example.com/a#b")) == "https://example.com/a"


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_an_address_in_the_url_is_refused_without_a_look_at_the_network(address: str) -> None:
    host = f"[{address}]" if ":" in address else address
    with pytest.raises(InputError) as caught:
        check_url(f"https://{host}/")
    assert caught.value.reason == "webhook_address"


HOSTS = ["127.0.0.1", "localhost", "127.1", "0x7f.1", "0177.0.0.1", "2130706433", "0x7f000001", "[::ffff:127.0.0.1]",
         "[::1]", "127.0.0.1.", "0", "0.0.0.0", "LOCALHOST", "①②⑦.⓪.⓪.①"]  # fmt: skip


@pytest.mark.parametrize("host", HOSTS)
def test_no_spelling_of_this_machine_is_connected_to(
    host: str, listener: Listener, settings: Settings, database: Database, finish_job: Callable[[str], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """The port is allowed here, so that only the address stands between the webhook and the listener."""
    monkeypatch.setattr(guard, "PORTS", (443, listener.port))
    url = f"https://{host}:{listener.port}/"
    with pytest.raises(InputError) as caught:  # when the job is made
        asyncio.run(check_target(url))
    assert caught.value.reason in ("webhook_address", "webhook_unresolved", "webhook_url")
    job_id = finish_job(url)  # and when it is sent
    strict = settings.model_copy(update={"webhook_private": False})
    deliverer = Deliverer(database, strict)
    assert deliverer.deliver_due() == 1
    assert deliverer.outbox.of_job(job_id, "local")[0].last_error
    assert listener.connections == 0


class Alternating:
    """A name server of an attacker: harmless when it is checked, this machine when it is used."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers, self.asked = answers, 0

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked += 1
        return self.answers[(self.asked - 1) % len(self.answers)]


def test_a_name_that_changes_its_answer_gains_nothing(
    listener: Listener, settings: Settings, database: Database, finish_job: Callable[[str], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Public when checked at submit; at every send it is resolved once, and that answer is what is connected to.

    127.0.0.2, where nobody listens, stands for a public address, so that no test calls the internet.
    """
    monkeypatch.setattr(guard, "PORTS", (443, listener.port))
    monkeypatch.setattr(guard, "is_public", lambda address: str(address) == "127.0.0.2" or is_public(address))
    names = Alternating(["127.0.0.2"], ["127.0.0.1"])
    url = f"https://rebind.example:{listener.port}/"
    assert asyncio.run(check_target(url, resolver=names)).address == "127.0.0.2"
    finish_job(url)
    strict = settings.model_copy(update={"webhook_private": False, "webhook_timeout_s": 0.3})
    deliverer = Deliverer(database, strict, resolver=names)
    (delivery,) = deliverer.outbox.claim()
    for _ in range(4):
        assert asyncio.run(deliverer.send(delivery)).status is None
    assert names.asked == 5
    assert listener.connections == 0


def test_one_bad_answer_among_good_ones_is_enough() -> None:
    with pytest.raises(InputError) as caught:
        asyncio.run(check_target("https://mixed.example/", resolver=Alternating(["8.8.8.8", "127.0.0.1"])))
    assert caught.value.reason == "webhook_address"


@pytest.mark.parametrize("answer", [[], ["fe80::1%lo"], ["garbage"]])
def test_an_answer_that_is_no_address_is_refused(answer: list[str]) -> None:
    with pytest.raises(InputError):
        asyncio.run(check_target("https://odd.example/", resolver=Alternating(answer)))


def test_the_checked_address_is_called_by_the_original_name(
    tls_receiver: Receiver, settings: Settings, database: Database, finish_job: Callable[[str], str]
) -> None:
    """TLS asks for hook.test and checks the certificate against that name; the connection goes to an address."""
    finish_job(f"https://hook.test:{tls_receiver.port}/a?b=c")
    trust = ssl.create_default_context(cafile=PEM)
    Deliverer(database, settings, resolver=Alternating(["127.0.0.1"]), trust=trust).deliver_due()
    ((headers, _),) = tls_receiver.requests
    assert headers["host"] == f"hook.test:{tls_receiver.port}"


def test_a_certificate_for_another_name_is_not_accepted(
    tls_receiver: Receiver, settings: Settings, database: Database, finish_job: Callable[[str], str]
) -> None:
    finish_job(f"https://other.test:{tls_receiver.port}/")
    trust = ssl.create_default_context(cafile=PEM)
    Deliverer(database, settings, resolver=Alternating(["127.0.0.1"]), trust=trust).deliver_due()
    assert tls_receiver.requests == []
