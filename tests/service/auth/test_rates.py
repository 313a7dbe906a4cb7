"""Token buckets: as many as were promised, for each on its own, in bounded memory."""

from __future__ import annotations

import pytest

from meshwright.errors import RateLimited
from meshwright.service.auth import rates as module
from meshwright.service.auth.quota import check_storage
from meshwright.service.auth.rates import BURST_S, Rates, refuse
from meshwright.service.settings import Settings


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_1000_a_second_for_10_seconds_let_through_what_was_promised_within_5_percent() -> None:
    clock = Clock()
    rates = Rates(6000, clock=clock)
    allowed = 0
    for _ in range(10_000):
        clock.now += 0.001
        allowed += rates.take("key:a").allowed
    promised = 6000 / 60 * (10 + BURST_S)
    assert abs(allowed - promised) <= 0.05 * promised


def test_one_callers_flood_costs_another_nothing() -> None:
    rates = Rates(60, clock=Clock())
    while rates.take("key:loud").allowed:
        pass
    assert rates.take("key:quiet").allowed


def test_after_the_named_wait_one_more_is_allowed() -> None:
    clock = Clock()
    rates = Rates(20, clock=clock)
    while (standing := rates.take("a")).allowed:
        pass
    clock.now += standing.retry_after_s
    assert rates.take("a").allowed
    assert not rates.take("a").allowed


def test_looking_costs_nothing() -> None:
    rates = Rates(60, clock=Clock())
    before = rates.peek("a").remaining
    assert rates.peek("a").remaining == before
    assert rates.take("a").remaining == before - 1


def test_the_headers_say_what_is_left_and_when_to_come_back() -> None:
    rates = Rates(6, clock=Clock())
    assert rates.take("a").headers() == {"RateLimit-Limit": "6", "RateLimit-Remaining": "0", "RateLimit-Reset": "10"}
    refused = rates.take("a")
    assert refused.headers()["Retry-After"] == "10"
    assert refuse(refused, "requests").details["retry_after_s"] == 10


def test_a_million_addresses_take_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BUCKETS", 100)
    rates = Rates(60, clock=Clock())
    for i in range(1000):
        rates.take(f"address:{i}")
    assert len(rates._buckets) == 100


def test_stored_bytes_are_limited_where_a_quota_is_set(settings: Settings) -> None:
    check_storage(settings, 10**15, 10**15)
    limited = settings.model_copy(update={"storage_quota_bytes": 1000})
    check_storage(limited, 600, 400)
    with pytest.raises(RateLimited) as caught:
        check_storage(limited, 600, 401)
    assert caught.value.reason == "storage_quota"
