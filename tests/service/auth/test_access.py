"""The dependency that every route has, behind a real app: 401, 403 and 429, and who gets in."""

from __future__ import annotations

from typing import Annotated

import httpx
import pytest
from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse

from meshwright.errors import Forbidden, MeshwrightError, RateLimited, Unauthorized
from meshwright.service.auth.keys import KeyBook
from meshwright.service.auth.principal import Principal, Scope
from meshwright.service.db import Database
from meshwright.service.http.access import Access, require
from meshwright.service.settings import Settings

STATUS = {Unauthorized: 401, Forbidden: 403, RateLimited: 429}
Reader = Annotated[Principal, Depends(require(Scope.READ))]
Administrator = Annotated[Principal, Depends(require(Scope.ADMIN))]
Submitter = Annotated[Principal, Depends(require("submit", submission=True))]


def make_app(settings: Settings, database: Database) -> FastAPI:
    app = FastAPI()
    app.state.access = Access(settings, database)

    @app.get("/who")
    async def who(caller: Reader) -> dict[str, str]:
        return {"tenant": caller.tenant}

    @app.post("/jobs")
    async def submit(caller: Submitter) -> dict[str, str]:
        return {"tenant": caller.tenant}

    @app.get("/metrics")
    async def metrics(caller: Administrator) -> dict[str, str]:
        return {"tenant": caller.tenant}

    @app.exception_handler(MeshwrightError)
    async def show(_: Request, error: MeshwrightError) -> JSONResponse:
        return JSONResponse(error.to_json(), STATUS[type(error)])  # type: ignore[index]

    return app


def client(app: FastAPI, url: str = "http://localhost") -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=url)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


pytestmark = pytest.mark.anyio


async def test_on_loopback_without_keys_anyone_on_this_machine_is_the_local_tenant(
    settings: Settings, database: Database
) -> None:
    async with client(make_app(settings, database)) as http:
        assert (await http.get("/who")).json() == {"tenant": "local"}
        assert (await http.get("/metrics")).status_code == 200


@pytest.mark.parametrize("header", ["bearer", "x-api-key"])
async def test_a_key_is_taken_from_either_header(settings: Settings, keys: KeyBook, header: str) -> None:
    _, token = keys.create(tenant="acme")
    sent = {"Authorization": f"Bearer {token.reveal()}"} if header == "bearer" else {"X-API-Key": token.reveal()}
    async with client(make_app(settings, keys.database)) as http:
        for _ in range(2):  # from the database, then from memory
            assert (await http.get("/who", headers=sent)).json() == {"tenant": "acme"}


async def test_once_there_is_a_key_nobody_gets_in_without_one(settings: Settings, keys: KeyBook) -> None:
    info, _ = keys.create()
    keys.revoke(info.id)
    async with client(make_app(settings, keys.database)) as http:
        answer = await http.get("/who")
    assert answer.status_code == 401
    assert answer.json()["error"]["details"]["reason"] == "key_missing"


async def test_an_invalid_key_is_refused_also_where_the_service_is_open(settings: Settings, database: Database) -> None:
    async with client(make_app(settings, database)) as http:
        for key in ("nonsense", f"mw_{'0' * 16}_{'a' * 43}"):
            answer = await http.get("/who", headers={"X-API-Key": key})
            assert answer.status_code == 401
            assert answer.json()["error"]["details"]["reason"] == "key_invalid"
            assert key not in answer.text


async def test_a_key_without_the_scope_is_forbidden(settings: Settings, keys: KeyBook) -> None:
    _, token = keys.create(scopes=[Scope.READ])
    async with client(make_app(settings, keys.database)) as http:
        answer = await http.post("/jobs", headers={"X-API-Key": token.reveal()})
    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == "FORBIDDEN"


async def test_beyond_loopback_anonymous_callers_need_the_operators_word(
    settings: Settings, database: Database
) -> None:
    exposed = settings.model_copy(update={"host": "0.0.0.0"})
    async with client(make_app(exposed, database), "http://meshes.example.com") as http:
        assert (await http.get("/who")).status_code == 401
    told = exposed.model_copy(update={"allow_anonymous": True})
    async with client(make_app(told, database), "http://meshes.example.com") as http:
        assert (await http.get("/who")).json() == {"tenant": "local"}
        assert (await http.get("/metrics")).status_code == 403  # anyone is no administrator


async def test_the_rate_is_counted_by_key_and_said_in_headers(settings: Settings, keys: KeyBook) -> None:
    slow = settings.model_copy(update={"rate_per_minute": 18})
    (_, one), (_, two) = keys.create(tenant="a"), keys.create(tenant="b")
    async with client(make_app(slow, keys.database)) as http:
        answers = [await http.get("/who", headers={"X-API-Key": one.reveal()}) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert [answer.headers.get("ratelimit-remaining") for answer in answers[:3]] == ["2", "1", "0"]
        assert answers[-1].json()["error"]["details"]["retry_after_s"] >= 1
        assert (await http.get("/who", headers={"X-API-Key": two.reveal()})).status_code == 200


async def test_submissions_have_a_rate_of_their_own(settings: Settings, keys: KeyBook) -> None:
    slow = settings.model_copy(update={"submits_per_minute": 6})
    _, token = keys.create()
    sent = {"X-API-Key": token.reveal()}
    async with client(make_app(slow, keys.database)) as http:
        assert (await http.post("/jobs", headers=sent)).status_code == 200
        assert (await http.post("/jobs", headers=sent)).status_code == 429
        assert (await http.get("/who", headers=sent)).status_code == 200


async def test_guessing_keys_is_slowed_down_and_does_not_reach_the_database(settings: Settings, keys: KeyBook) -> None:
    slow = settings.model_copy(update={"rate_per_minute": 6})
    _, token = keys.create()
    app = make_app(slow, keys.database)
    async with client(app) as http:
        assert (await http.get("/who", headers={"X-API-Key": token.reveal()})).status_code == 200
        tries = [await http.get("/who", headers={"X-API-Key": f"mw_{i:016x}_{'a' * 43}"}) for i in range(3)]
        assert [answer.status_code for answer in tries] == [401, 429, 429]


@pytest.mark.parametrize(
    ("url", "origin", "status"),
    [
        ("http://localhost:8000", None, 200),
        ("http://127.0.0.1:8000", None, 200),
        ("http://[::1]:8000", None, 200),
        ("http://localhost:8000", "http://localhost:8000", 200),
        ("http://meshes.example.com", None, 200),  # public_url: a proxy on this machine
        ("http://localhost:8000", "https://evil.example", 403),  # a foreign page posts to us
        ("http://localhost:8000", "null", 403),
        ("http://evil.example:8000", None, 403),  # its name was made to resolve to this machine
        ("http://evil.example:8000", "http://evil.example:8000", 403),
    ],
)
async def test_an_open_service_answers_no_web_page_of_others(
    settings: Settings, database: Database, url: str, origin: str | None, status: int
) -> None:
    ours = settings.model_copy(update={"public_url": "https://meshes.example.com"})
    async with client(make_app(ours, database), url) as http:
        answer = await http.get("/who", headers={"Origin": origin} if origin else {})
    assert answer.status_code == status


async def test_the_document_names_both_ways_to_send_a_key(settings: Settings, database: Database) -> None:
    document = make_app(settings, database).openapi()
    assert set(document["components"]["securitySchemes"]) == {"HTTPBearer", "APIKeyHeader"}
    assert document["paths"]["/who"]["get"]["security"]
