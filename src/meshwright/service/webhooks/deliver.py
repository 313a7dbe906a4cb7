"""Sends the webhooks that are due: signed, to a checked address, without redirects, within a fixed time.

Only the head of an answer is read: a 2xx is success, everything else (3xx too) is a failure to be tried again, and 410
closes the endpoint. An endpoint that cannot be reached is knocked at once a round, however many webhooks wait for it.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from ssl import SSLContext

import httpx
from sqlalchemy.exc import SQLAlchemyError

from meshwright.errors import InputError, MeshwrightError
from meshwright.service.auth.root import root_secret, webhook_secret
from meshwright.service.db import Database
from meshwright.service.logs import logger
from meshwright.service.settings import Settings
from meshwright.service.webhooks.guard import Resolver, check_target
from meshwright.service.webhooks.outbox import GONE, Delivery, Outbox
from meshwright.service.webhooks.sign import signed_headers

IDLE_S = 1.0  # between looks at the table
USER_AGENT = "Meshwright-Webhook/1"


@dataclass(frozen=True)
class Answer:
    """How a try ended: the status, or what kept it from getting one."""

    status: int | None
    error: str = ""

    @property
    def is_received(self) -> bool:
        """Whether the receiver took it."""
        return self.status is not None and 200 <= self.status < 300


class Deliverer:
    """Delivers the webhooks of a database. Any number of processes may run one."""

    def __init__(
        self,
        database: Database,
        settings: Settings,
        *,
        resolver: Resolver | None = None,
        trust: SSLContext | None = None,
    ) -> None:
        self.database = database
        self.settings = settings
        self.resolver = resolver
        self.outbox = Outbox(database, tries=settings.webhook_tries, lease_s=4 * settings.webhook_timeout_s)
        self._trust = trust
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="webhooks", daemon=True)

    def start(self) -> None:
        """Deliver from now on, in a thread of its own: a slow receiver holds nothing else up."""
        self._thread.start()

    def stop(self) -> None:
        """End after the round that is being done, which takes at most twice the longest wait for an answer."""
        self._stop.set()
        self._thread.join(2 * self.settings.webhook_timeout_s + 5)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                sent = self.deliver_due()
            except (MeshwrightError, SQLAlchemyError, OSError) as error:
                logger().warning("webhooks wait", error=str(error))
                sent = 0
            if not sent:
                self._stop.wait(IDLE_S)

    def deliver_due(self) -> int:
        """One round: every webhook that is due (up to 16) is tried once. Returns how many there were."""
        claimed = self.outbox.claim()
        if claimed:
            asyncio.run(self._round(claimed))
        return len(claimed)

    async def _round(self, claimed: Sequence[Delivery]) -> None:
        by_host: dict[str, list[Delivery]] = {}
        for delivery in claimed:
            by_host.setdefault(_host(delivery.url), []).append(delivery)
        await asyncio.gather(*(self._to_one_host(group) for group in by_host.values()))

    async def _to_one_host(self, group: Sequence[Delivery]) -> None:
        """The first knocks; where it finds nobody, the others count their try without another connection."""
        first, *others = group
        knock = await self._try(first)
        if knock.status is None:
            await asyncio.gather(*(self._record(delivery, knock) for delivery in others))
        else:
            await asyncio.gather(*(self._try(delivery) for delivery in others))

    async def _try(self, delivery: Delivery) -> Answer:
        answer = await self.send(delivery)
        await self._record(delivery, answer)
        return answer

    async def send(self, delivery: Delivery) -> Answer:
        """One try, without a change to the database; never longer than the setting's time."""
        try:
            async with asyncio.timeout(self.settings.webhook_timeout_s):
                return await self._post(delivery)
        except TimeoutError:
            return Answer(None, "No answer in time.")
        except InputError as error:
            return Answer(None, error.message)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            return Answer(None, f"No connection: {type(error).__name__}.")

    async def _post(self, delivery: Delivery) -> Answer:
        private = self.settings.webhook_private
        target = await check_target(delivery.url, allow_private=private, resolver=self.resolver)
        body = json.dumps(delivery.payload, ensure_ascii=False, separators=(",", ":")).encode()
        secret = webhook_secret(self._root, self.settings, delivery.tenant)
        headers = signed_headers(secret, delivery.id, datetime.now(UTC), body)
        headers |= {"User-Agent": USER_AGENT, "Accept-Encoding": "identity"}
        # a client for each try: a connection to a shared address must not be used for another host's name
        async with httpx.AsyncClient(verify=self._context, trust_env=False, follow_redirects=False) as client:
            response = await client.send(target.request(client, body, headers), stream=True)
            await response.aclose()
        return Answer(response.status_code, "" if response.is_success else f"HTTP {response.status_code}.")

    async def _record(self, delivery: Delivery, answer: Answer) -> None:
        if answer.is_received and answer.status is not None:
            await asyncio.to_thread(self.outbox.succeed, delivery, answer.status)
        else:
            await asyncio.to_thread(self.outbox.fail, delivery, answer.error, answer.status)
        told = logger(delivery_id=delivery.id, job_id=delivery.job_id, tries=delivery.tries, status=answer.status)
        if answer.is_received:
            told.info("webhook delivered")
        elif answer.status == GONE:
            told.warning("webhook endpoint is gone")
        else:
            told.warning("webhook failed", error=answer.error)

    @cached_property
    def _root(self) -> bytes:
        return root_secret(self.database, self.settings)

    @cached_property
    def _context(self) -> SSLContext:
        return self._trust or httpx.create_ssl_context(trust_env=False)


def _host(url: str) -> str:
    return url.split("/")[2] if url.count("/") >= 2 else url


def deliver_due(database: Database, settings: Settings) -> int:
    """One round of deliveries, for those who have no thread to spare (`Deliverer.start` is the better way)."""
    return Deliverer(database, settings).deliver_due()


def replay(database: Database, delivery_id: str, tenant: str) -> Delivery:
    """Send a webhook again now, with its old id: see `Outbox.replay`."""
    return Outbox(database).replay(delivery_id, tenant)
