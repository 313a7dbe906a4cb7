"""Fuzzes everything that reads a stranger's bytes: image gate and decoders, ZIP reader, camera files.

    python benchmarks/fuzz_readers.py --seconds 600 [--seed 0] [--target zip] [--json]

Each target mutates a small generated corpus at random (bytes flipped, cut, repeated, spliced; numbers and keys of JSON
replaced). A reader may return or raise `InputError`; anything else, or more than two seconds of processor time, is a
crash: its input is kept in --crashes and the exit code is 1. Where atheris can be imported, ``--atheris`` lets it guide
one target.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import resource
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from capture.making import NAMES, cameras, depth_pixels, encoded, good_files, npy, png, rgb_pixels, zip_bytes
from meshwright.cameras.bop import write_bop
from meshwright.cameras.colmap import write_colmap
from meshwright.capture.decode import decode_depth, decode_mask, decode_rgb
from meshwright.capture.gate import read_header
from meshwright.capture.limits import Limits
from meshwright.capture.load import load_capture
from meshwright.capture.posed_bop import parse_bop
from meshwright.capture.posed_colmap import parse_colmap
from meshwright.capture.posed_nerfstudio import parse_nerfstudio
from meshwright.capture.strict_json import parse_json
from meshwright.errors import InputError
from meshwright.geometry.camera import Camera

LIMITS = Limits(image_side=512)
SLOW_S, HANG_S = 2.0, 30.0
INTERESTING = (
    b"\0",
    b"\xff",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\x80\0\0\0",
    b"\0\0\0\1",
    b"PK\x01\x02",
    b"IEND",
)
WORDS = (
    "NaN",
    "1e999",
    "-1",
    "0",
    "null",
    "true",
    '""',
    "[]",
    "{}",
    "1e308",
    "[" * 40 + "]" * 40,
    '"' + "a" * 300 + '"',
)


@dataclass
class Target:
    """A reader, its seeds, and what has happened to it so far."""

    name: str
    seeds: list[bytes]
    read: Callable[[bytes], object]
    text: bool = False
    runs: int = 0
    accepted: int = 0
    crashes: int = 0
    slowest_s: float = 0.0


def main() -> int:
    arguments = parse_arguments()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as scratch:
        targets = [t for t in make_targets(Path(scratch)) if arguments.target in (None, t.name)]
        if arguments.atheris:
            return run_atheris(targets[0])
        left_over = fuzz(targets, arguments, Path(scratch))
    rows = [
        {
            "target": t.name,
            "runs": t.runs,
            "accepted": t.accepted,
            "crashes": t.crashes,
            "slowest_ms": 1000 * t.slowest_s,
        }
        for t in targets
    ]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    report(rows, peak, left_over, arguments)
    return int(any(t.crashes for t in targets) or left_over)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--target")
    parser.add_argument("--crashes", type=Path, default=Path("/tmp/fuzz_readers"))
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--atheris", action="store_true")
    return parser.parse_args()


def fuzz(targets: list[Target], arguments: argparse.Namespace, scratch: Path) -> int:
    """Round-robin until the time is up; returns how many files the readers left behind."""
    rng, until = random.Random(arguments.seed), time.monotonic() + arguments.seconds
    while time.monotonic() < until:
        for target in targets:
            data = mutated(rng.choice(target.seeds), target, rng)
            run_once(target, data, arguments.crashes)
    return sum(1 for path in scratch.rglob("*") if path.name != "input.zip")


def run_once(target: Target, data: bytes, crashes: Path) -> None:
    began, cpu_began = time.perf_counter(), time.process_time()
    try:
        target.read(data)
        target.accepted += 1
    except InputError as error:
        json.dumps(error.to_json(), allow_nan=False)
    except Exception:  # noqa: BLE001 - anything that is no InputError is what is looked for
        keep(target, data, traceback.format_exc(), crashes)
    # Processor time, since a busy machine says nothing about the reader; the wall clock catches only a hang.
    seconds, wall_s = time.process_time() - cpu_began, time.perf_counter() - began
    target.runs += 1
    target.slowest_s = max(target.slowest_s, seconds)
    if seconds > SLOW_S or wall_s > HANG_S:
        keep(target, data, f"took {seconds:.1f} s of processor time, {wall_s:.1f} s in all", crashes)


def keep(target: Target, data: bytes, why: str, crashes: Path) -> None:
    target.crashes += 1
    if target.crashes <= 5:
        crashes.mkdir(parents=True, exist_ok=True)
        (crashes / f"{target.name}_{target.crashes}.bin").write_bytes(data)
        (crashes / f"{target.name}_{target.crashes}.txt").write_text(why)
        print(f"{target.name}: {why.strip().splitlines()[-1]}", file=sys.stderr)


def mutated(seed: bytes, target: Target, rng: random.Random) -> bytes:
    data = bytearray(seed)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        change_word(data, rng) if target.text and rng.random() < 0.6 else change_bytes(data, target.seeds, rng)
    return bytes(data)


def change_bytes(data: bytearray, seeds: list[bytes], rng: random.Random) -> None:
    at = rng.randrange(len(data) + 1)
    size = min(rng.choice((1, 1, 2, 4, 16, 200)), len(data) - at)
    kind = rng.randrange(6)
    if kind == 0 and at < len(data):
        data[at] ^= 1 << rng.randrange(8)
    elif kind == 1:
        data[at : at + size] = rng.choice(INTERESTING)
    elif kind == 2:
        del data[at : at + size]
    elif kind == 3:
        data[at:at] = data[at : at + size] * rng.choice((1, 2, 50))
    elif kind == 4:
        other = rng.choice(seeds)
        data[at:] = other[rng.randrange(len(other)) :]
    else:
        data[at : at + size] = rng.randbytes(size)


def change_word(data: bytearray, rng: random.Random) -> None:
    """Replace one token of a text by a nasty one."""
    text = data.decode("utf-8", "replace")
    words = text.replace(",", " , ").replace(":", " : ").replace("]", " ] ").split(" ")
    words[rng.randrange(len(words))] = rng.choice(WORDS)
    data[:] = " ".join(words).encode()


def make_targets(scratch: Path) -> list[Target]:
    pngs = [png(rgb_pixels(1, 40)), png(depth_pixels(40)), png(depth_pixels(40, np.uint8)), png(np.eye(40, dtype=bool))]
    images = [*pngs, *(encoded(rgb_pixels(2, 40), kind) for kind in ("JPEG", "WEBP", "TIFF"))]
    depths = [*pngs[1:], npy(depth_pixels(40)), npy(np.ones((40, 40), np.float32)),
              encoded(np.ones((40, 40), np.float32), "TIFF"), *exr_seeds(scratch)]  # fmt: skip
    camera = Camera(np.array([[80.0, 0, 32], [0, 80, 32], [0, 0, 1]]), np.eye(4), 64, 64)
    binary, text = (write_colmap({f"{n}.png": camera for n in NAMES}, binary=b) for b in (True, False))
    archives = [zip_bytes(good_files(("front", "back"))), zip_bytes(good_files(("front",)), 0)]
    archives.append(zip_bytes({**good_files(), "cameras.json": json.dumps(cameras()).encode()}))
    return [
        Target("header", images + depths, lambda d: read_header(d, "f", LIMITS)),
        Target("rgb", images, lambda d: decode_rgb(d, "f", LIMITS)),
        Target("mask", images, lambda d: decode_mask(d, "f", LIMITS)),
        Target("depth", depths, lambda d: decode_depth(d, "f", LIMITS)),
        Target("zip", archives, lambda d: read_zip(d, scratch)),
        Target("nerfstudio", [json.dumps(c).encode() for c in nerfstudio_seeds()],
               lambda d: parse_nerfstudio(parse_json(d, "f", LIMITS), "f"), text=True),
        Target("colmap_bin", [binary["images.bin"]], lambda d: parse_colmap(binary["cameras.bin"], d, True, "")),
        Target("colmap_cameras", [binary["cameras.bin"]], lambda d: parse_colmap(d, binary["images.bin"], True, "")),
        Target("colmap_txt", [text["images.txt"]],
               lambda d: parse_colmap(text["cameras.txt"], d, False, ""), text=True),
        Target("bop", [json.dumps(write_bop([camera] * 2)).encode()],
               lambda d: parse_bop(parse_json(d, "f", LIMITS), None, "f", {0: {"rgb": "rgb/0.png"}}), text=True),
    ]  # fmt: skip


def nerfstudio_seeds() -> list[dict]:
    angle = {"camera_angle_x": 0.8, "frames": [{"file_path": "a", "transform_matrix": np.eye(4).tolist()}]}
    return [cameras(("front", "back")), cameras(("front",), units="mm", depth_scale=0.5, k1=0.0), angle]


def exr_seeds(scratch: Path) -> list[bytes]:
    try:
        import OpenEXR
    except ImportError:
        return []
    path = scratch / "seed.exr"
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    with OpenEXR.File(header, {"Z": np.linspace(1, 2, 1600, dtype=np.float32).reshape(40, 40)}) as file:
        file.write(str(path))
    data = path.read_bytes()
    path.unlink()
    return [data]


def read_zip(data: bytes, scratch: Path) -> None:
    path = scratch / "input.zip"
    path.write_bytes(data)
    load_capture(path, limits=LIMITS)


def run_atheris(target: Target) -> int:
    """Coverage-guided fuzzing of one target (pip install atheris); stops at the first crash."""
    import atheris

    def once(data: bytes) -> None:
        try:
            target.read(data)
        except InputError:
            return

    atheris.instrument_all()
    atheris.Setup([sys.argv[0]], once)
    atheris.Fuzz()
    return 0


def report(rows: list[dict], peak_mib: float, left_over: int, arguments: argparse.Namespace) -> None:
    if arguments.json:
        print(json.dumps({"rows": rows, "peak_mib": peak_mib, "left_over": left_over, "seed": arguments.seed}))
        return
    out = io.StringIO()
    print(f"{'target':16}{'runs':>9}{'accepted':>10}{'crashes':>9}{'slowest ms':>12}", file=out)
    for row in rows:
        print(
            f"{row['target']:16}{row['runs']:9}{row['accepted']:10}{row['crashes']:9}{row['slowest_ms']:12.0f}",
            file=out,
        )
    print(f"peak memory {peak_mib:.0f} MiB, files left behind {left_over}, seed {arguments.seed}", file=out)
    print(out.getvalue(), end="")


if __name__ == "__main__":
    raise SystemExit(main())
