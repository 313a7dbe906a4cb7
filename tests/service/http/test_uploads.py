"""Uploads: where files go, what is refused, and that nothing of what was refused is left (T-01 to T-17)."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable

import pytest

from service.http.live import NAMES, Files, Live, capture_zip, code_of, png, reason_of, six

Serve = Callable[..., Live]


def inputs(server: Live, job_id: str) -> set[str]:
    prefix = f"jobs/{job_id}/input/"
    return {key.removeprefix(prefix) for key in server.stored() if key.startswith(prefix)}


def refused(server: Live, files: Files, path: str = "/v1/jobs") -> tuple[int, str]:
    """Status and reason of a refused upload, after which nothing may be left."""
    before = (server.stored(), len(server.client.get("/jobs", params={"limit": 200}).json()["jobs"]))
    answer = server.submit(files, path)
    found = (answer.status_code, reason_of(answer))
    server.settle()
    assert (server.stored(), len(server.client.get("/jobs", params={"limit": 200}).json()["jobs"])) == before
    return found


def huge_png(side: int) -> bytes:
    """A picture that is small on disk and large in memory, with a correct head."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">2I5B", side, side, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


def test_plain_names_decide_whatever_the_order(server: Live) -> None:
    shuffled = ("top", "front", "left", "bottom", "back", "right")
    job_id = server.submit(six(shuffled)).json()["job_id"]
    for index, name in enumerate(shuffled):
        key = f"jobs/{job_id}/input/multi_views/{name}.png"
        assert server.service.store.get_bytes(key) == png(shade=60 + 20 * index)


def test_other_fields_and_roles_are_taken(server: Live) -> None:
    files: Files = [("multi_views", (f"{name}.png", png())) for name in NAMES]
    files += [("depth", (f"{name}_depth.png", png(32, 90, "L"))) for name in NAMES]
    files += [("masks", ("front_mask.png", png(64, 255, "L")))]
    job_id = server.submit(files).json()["job_id"]
    expected = {f"multi_views/{n}.png" for n in NAMES} | {f"depth_renders/{n}.png" for n in NAMES}
    assert inputs(server, job_id) == expected | {"masks/front.png"}


def test_one_view_is_a_capture_and_so_are_64(server: Live) -> None:
    assert server.submit([("views", ("a.png", png()))]).status_code == 202
    many: Files = [("views", (f"shot_{i:03d}.png", png(16, i))) for i in range(64)]
    job_id = server.submit(many).json()["job_id"]
    assert inputs(server, job_id) == {f"multi_views/shot_{i:03d}.png" for i in range(64)}


def test_files_of_the_same_name_are_told_apart_by_order(server: Live) -> None:
    files: Files = [("views", ("image.png", png(shade=i))) for i in (1, 2, 3)]
    assert inputs(server, server.submit(files).json()["job_id"]) == {f"multi_views/view_0{i}.png" for i in range(3)}


def test_the_suffix_is_that_of_the_format(server: Live) -> None:
    from PIL import Image

    out = io.BytesIO()
    Image.open(io.BytesIO(png())).save(out, "JPEG")
    job_id = server.submit([("views", ("front.png", out.getvalue()))]).json()["job_id"]
    assert inputs(server, job_id) == {"multi_views/front.jpg"}


def test_an_archive_is_kept_as_it_is(server: Live) -> None:
    data = capture_zip()
    job_id = server.submit([("archive", ("my capture.zip", data))]).json()["job_id"]
    assert server.service.store.get_bytes(f"jobs/{job_id}/input/capture.zip") == data


def test_cameras_come_with_the_names_that_they_speak_of(server: Live) -> None:
    pose = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 2], [0, 0, 0, 1]]
    frames = [{"file_path": f"images/shot{i}.png", "transform_matrix": pose} for i in range(3)]
    cameras = {"fl_x": 60, "fl_y": 60, "cx": 32, "cy": 32, "w": 64, "h": 64, "frames": frames}
    files: Files = [("views", (f"shot{i}.png", png())) for i in range(3)]
    job_id = server.submit([*files, ("cameras", ("c.json", json.dumps(cameras).encode()))]).json()["job_id"]
    assert inputs(server, job_id) == {"cameras.json", *(f"multi_views/shot{i}.png" for i in range(3))}
    cameras["fl_x"] = float("nan")
    bad = [*files, ("cameras", ("c.json", json.dumps(cameras).encode()))]
    assert refused(server, bad) == (422, "json_not_finite")


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ([], "content_type"),
        ([("depth_renders", ("a.png", png()))], "no_views"),
        (six()[:11], "depth_count"),
        ([("views", ("a.png", b"\x89PNG\r\n\x1a\n" + b"\0" * 20))], "image_corrupt"),
        ([("views", ("a.png", png()[:-20]))], "image_corrupt"),
        ([("views", ("a.png", b""))], "image_unknown"),
        ([("views", ("a.png", b"GIF89a" + b"\0" * 40))], "image_unknown"),
        ([("views", ("a.png", b"<html><script>" + b" " * 40))], "image_unknown"),
        ([("views", ("a.png", huge_png(50_000)))], "image_too_large"),
        ([("views", ("a.png", huge_png(13_300)))], "image_too_large"),
        ([("views", (f"{i}.png", png(8))) for i in range(65)], "too_many_files"),
        ([("archive", ("a.zip", capture_zip())), ("views", ("a.png", png()))], "archive_and_files"),
        ([("archive", ("a.zip", capture_zip())), ("archive", ("b.zip", capture_zip()))], "too_many_files"),
        ([("archive", ("a.zip", b"Rar!" * 20))], "archive_unknown"),
        ([("archive", ("a.zip", b"PK\x03\x04" + b"\0" * 100))], "archive_corrupt"),
        ([("archive", ("a.zip", b""))], "archive_unknown"),
        ([("archive", ("a.zip", capture_zip({"../../evil.png": png()})))], "archive_name"),
        ([("archive", ("a.zip", capture_zip({"a/b.zip": capture_zip()})))], "archive_nested"),
        ([("archive", ("a.zip", capture_zip({"front.png": png(), "FRONT.PNG": png()})))], "archive_duplicate"),
        ([("archive", ("a.zip", capture_zip({"readme.txt": b"x"})))], "no_views"),
        ([("pictures", ("a.png", png()))], "unknown_field"),
        ([("views", ("a.exr", b"\x76\x2f\x31\x01" + b"\0" * 40))], "image_kind"),
    ],
)
def test_a_bad_capture_is_refused_with_its_reason_and_nothing_is_left(server: Live, files: Files, reason: str) -> None:
    status, found = refused(server, files)
    assert found == reason
    assert status == (415 if reason == "content_type" else 422)


def test_a_bomb_in_an_archive_is_refused(server: Live) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("multi_views/front.png", bytes(20 * 2**20))
    assert refused(server, [("archive", ("a.zip", out.getvalue()))])[1] == "archive_ratio"


def test_sizes_are_limited_while_they_are_counted(serve: Serve) -> None:
    server = serve(image_bytes=20_000, capture_bytes=60_000, cameras_bytes=1000)
    assert refused(server, [("views", ("a.png", bytes(20_001)))]) == (413, "file_too_large")
    assert refused(server, [("views", ("a.png", png())), ("cameras", ("c", bytes(1001)))]) == (413, "file_too_large")
    assert refused(server, [("archive", ("a.zip", bytes(60_001)))]) == (413, "file_too_large")
    assert refused(server, [("views", (f"{i}", bytes(20_000))) for i in range(60)]) == (413, "body_too_large")


def test_the_limits_of_one_server_do_not_hold_for_another(serve: Serve) -> None:
    assert serve(view_limit=2).submit(six(depth=False)).json()["error"]["code"] == "INVALID_FILE_COUNT"
    assert refused(serve(image_side=32), [("views", ("a.png", png(64)))]) == (422, "image_too_large")


BOUNDARY = "x"


def raw(*parts: bytes, end: bool = True) -> bytes:
    body = b"".join(b"--x\r\n" + part + b"\r\n" for part in parts)
    return body + (b"--x--\r\n" if end else b"")


def part(disposition: str, data: bytes = b"v", *more: str) -> bytes:
    lines = [f"Content-Disposition: form-data; {disposition}", *more]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + data


def post_raw(server: Live, body: bytes, kind: str = "multipart/form-data; boundary=x") -> tuple[int, str]:
    answer = server.client.post("/v1/jobs", content=body, headers={"Content-Type": kind})
    found = (answer.status_code, reason_of(answer))
    server.settle()
    return found


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (raw(*[part('name="name"') for _ in range(2000)]), "too_many_parts"),
        (raw(part('name="name"', b"x" * 70_000)), "file_too_large"),
        (raw(part(f'name="views"; filename="{"x" * 5000}"', png())), "multipart_invalid"),
        (raw(part('name="views"; filename="a"', png(), "X: " + "y" * 5000)), "multipart_invalid"),
        (raw(part('name="views"; filename="a"', png(), *(f"X{i}: y" for i in range(50)))), "multipart_invalid"),
        (raw(part('name="name"', b"a"), part('name="name"', b"b")), "duplicate_field"),
        (raw(part('name="model"', b"fusion"), part('name="model_type"', b"auto")), "duplicate_field"),
        (raw(part('name="views"; filename="a"', png()), end=False), "multipart_invalid"),
        (b"nothing of the kind", "multipart_invalid"),
        (b"", "multipart_invalid"),
        (raw(part("nameless", b"x")), "unknown_field"),
        (raw(b"\r\nno head at all"), "unknown_field"),
        (raw(part('name="name"', b"x")), "no_views"),
    ],
)
def test_a_multipart_body_may_not_be_abused(server: Live, body: bytes, reason: str) -> None:
    status, found = post_raw(server, body)
    assert found == reason
    assert status in (413, 422)


@pytest.mark.parametrize("kind", ["", "application/json", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_another_kind_of_body_is_415(server: Live, kind: str) -> None:
    assert post_raw(server, b"a=b&views=c", kind) == (415, "content_type")


def test_a_boundary_may_not_be_endless(server: Live) -> None:
    assert post_raw(server, b"x", f"multipart/form-data; boundary={'y' * 5000}") == (422, "multipart_invalid")


def test_a_file_without_a_name_is_a_file(server: Live) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = server.client.post("/v1/jobs", content=raw(part('name="views"', png())), headers=headers)
    assert answer.status_code == 202
    assert inputs(server, answer.json()["job_id"]) == {"multi_views/view_00.png"}


def test_an_empty_file_field_of_a_browser_is_no_file(server: Live) -> None:
    body = raw(part('name="views"; filename="a.png"', png()), part('name="masks"; filename=""', b""))
    answer = server.client.post("/v1/jobs", content=body, headers={"Content-Type": "multipart/form-data; boundary=x"})
    assert answer.status_code == 202


@pytest.mark.parametrize(
    "name", ["../../x.png", "C:\\x.png", "a\x1b[31m.png", "%0d%0aX: y.png", "\u202egnp.a", "con.png"]
)
def test_a_name_never_becomes_a_path_a_header_or_a_log_line(
    server: Live, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    body = raw(part(f'name="views"; filename="{name}"', b"no picture"))
    headers = {"Content-Type": "multipart/form-data; boundary=x", "X-Request-ID": "bad\x1bid"}
    answer = server.client.post("/v1/jobs", content=body, headers=headers)
    assert code_of(answer) == "INVALID_FILE_FORMAT"
    assert answer.headers["x-request-id"].isalnum()
    assert answer.json()["error"]["message"].isprintable()
    assert sum(key == "x-request-id" for key in answer.headers) == 1
    assert "\x1b" not in capfd.readouterr().err
    server.settle()


def test_too_many_uploads_at_once_are_429(serve: Serve) -> None:
    server = serve(uploads_at_once=1)
    with server.service.slots.take("other"):
        answer = server.submit()
    assert (answer.status_code, reason_of(answer)) == (429, "uploads")
    assert answer.headers["retry-after"] == "5"
    assert server.submit().status_code == 202


def test_one_tenant_never_takes_all_slots() -> None:
    from meshwright.errors import RateLimited
    from meshwright.service.uploads.slots import Slots

    slots = Slots(16)
    held = [slots.take("a") for _ in range(14)]
    for slot in held:
        slot.__enter__()
    with pytest.raises(RateLimited), slots.take("a"):
        pass
    with slots.take("b"):
        assert slots.total == 15
    for slot in held:
        slot.__exit__(None, None, None)
    assert slots.total == 0
