"""Names become engines: what is known, what can run here, and what ``auto`` and ``both`` mean."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest
from pydantic import Field

from meshwright.capture.capture import Capture, DepthImage, View
from meshwright.engines import registry
from meshwright.engines.protocol import Availability, EngineOptions, describe_options
from meshwright.engines.registry import (
    availability,
    engine_statuses,
    find_engine,
    known_machine_options,
    parse_options,
    ready_engine,
    resolve,
)
from meshwright.errors import EngineUnavailable, InputError


def capture(with_depth: bool = True) -> Capture:
    rgb = np.full((8, 8, 3), 200, np.uint8)
    depth = DepthImage(np.ones((8, 8), np.float32), 8) if with_depth else None
    return Capture(tuple(View(name, rgb, depth) for name in ("front", "back")))


class FakeOptions(EngineOptions):
    steps: int = Field(10, ge=1, le=100, description="Steps.")


class FakeEngine:
    name = "nvdiffrec"
    summary = "A stand-in with the protocol's shape."
    options_type = FakeOptions

    def __init__(self, state: Availability) -> None:
        self.state = state

    def availability(self) -> Availability:
        return self.state


def install(monkeypatch: pytest.MonkeyPatch, name: str, state: Availability) -> None:
    """An engine folder that appears: the registry must find it by its name alone."""
    import importlib.machinery

    for module in (f"meshwright.engines.{name}", f"meshwright.engines.{name}.engine"):
        fresh = types.ModuleType(module)
        fresh.__spec__ = importlib.machinery.ModuleSpec(module, None)
        fresh.ENGINE = FakeEngine(state)  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, module, fresh)


def test_fusion_is_there_and_runs_everywhere() -> None:
    assert find_engine("fusion").name == "fusion"
    assert availability("fusion").ok


def test_the_summary_of_a_listing_is_the_engines_own() -> None:
    for name, summary in registry.SUMMARIES.items():
        if availability(name).ok:
            assert find_engine(name).summary == summary


def test_an_unknown_engine_names_the_known_ones() -> None:
    with pytest.raises(InputError, match="nerf") as caught:
        find_engine("nerf")
    assert "fusion" in caught.value.suggestion
    assert caught.value.reason == "unknown_engine"


def test_a_missing_engine_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.SUMMARIES, "absent", "Not there.")
    monkeypatch.setitem(registry.HOW_TO_GET, "absent", "Install it.")
    with pytest.raises(EngineUnavailable) as caught:
        find_engine("absent")
    assert caught.value.code == "ENGINE_UNAVAILABLE"
    assert caught.value.suggestion == "Install it."
    assert {s.name: s.availability.how for s in engine_statuses()}["absent"] == "Install it."


def test_a_folder_is_all_that_an_engine_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, "nvdiffrec", Availability(True, accelerated=True))
    assert ready_engine("nvdiffrec").summary.startswith("A stand-in")


def test_an_engine_that_cannot_run_here_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, "nvdiffrec", Availability(False, "torch is missing", "pip install 'meshwright[torch]'"))
    with pytest.raises(EngineUnavailable, match="torch is missing") as caught:
        ready_engine("nvdiffrec")
    assert "meshwright[torch]" in caught.value.suggestion


@pytest.mark.parametrize(("with_depth", "wanted"), [(True, "nvdiffrec"), (False, "reconviagen")])
def test_auto_takes_the_fast_engine_for_the_input(
    monkeypatch: pytest.MonkeyPatch, with_depth: bool, wanted: str
) -> None:
    install(monkeypatch, wanted, Availability(True, accelerated=True))
    choice = resolve("auto", capture(with_depth))
    assert choice.engines == (wanted,)
    assert wanted in choice.why


@pytest.mark.parametrize("with_depth", [True, False])
def test_auto_falls_back_to_fusion_and_says_so(monkeypatch: pytest.MonkeyPatch, with_depth: bool) -> None:
    for name in registry.BOTH:
        install(monkeypatch, name, Availability(True, "on the CPU only"))
    choice = resolve("auto", capture(with_depth))
    assert choice.engines == ("fusion",)
    assert "on the CPU only" in choice.why


def test_both_is_the_references_pair() -> None:
    assert resolve("both", capture()).engines == ("nvdiffrec", "reconviagen")


def test_a_list_keeps_its_order_without_repeats() -> None:
    assert resolve("reconviagen, fusion,fusion", capture()).engines == ("reconviagen", "fusion")


@pytest.mark.parametrize("name", ["", " , ", "nerf", "fusion,nerf"])
def test_a_wrong_name_is_refused_before_anything_runs(name: str) -> None:
    with pytest.raises(InputError):
        resolve(name, capture())


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"facets": 3}, "facets"),
        ({"faces": 1}, "faces"),
        ({"faces": "many"}, "faces"),
        ({"texture_size": 1e9}, "texture_size"),
    ],
)
def test_a_bad_option_is_named(options: dict[str, object], named: str) -> None:
    with pytest.raises(InputError, match=named) as caught:
        parse_options(find_engine("fusion"), options)
    assert caught.value.reason == "bad_option"


def test_options_keep_the_given_and_default_the_rest() -> None:
    parsed = parse_options(find_engine("fusion"), {"faces": 5000})
    assert parsed.faces == 5000
    assert parsed.texture_size == 2048


def test_a_description_carries_the_ranges_that_are_enforced() -> None:
    described = {info.name: info for info in describe_options(FakeOptions)}
    assert (described["steps"].minimum, described["steps"].maximum, described["steps"].default) == (1, 100, 10)
    assert all(info.help for info in described.values())


@pytest.mark.parametrize("name", ["fusion", "nvdiffrec"])
def test_an_option_that_takes_any_text_is_not_for_whoever_sends_a_job(name: str) -> None:
    fields = find_engine(name).options_type.model_fields.items()
    assert {option for option, field in fields if field.annotation is str} <= known_machine_options()
