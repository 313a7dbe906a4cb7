"""The whole job, top to bottom: load -> calibrate -> engines -> assess -> package.

With given cameras the result stays in their world and unit; otherwise calibration delivers +Y up, front +Z and a
bounding box of diagonal 1. Nothing here moves a mesh.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from meshwright.engines.protocol import EngineOptions
from meshwright.engines.registry import Choice, resolve
from meshwright.engines.run import EngineRun, checked_options, require_one, run_engine
from meshwright.progress import Context

if TYPE_CHECKING:
    from meshwright.cameras.calibrate import CalibrationOptions
    from meshwright.capture.calibrated import CalibratedCapture
    from meshwright.capture.capture import Capture
    from meshwright.package import manifest as package
    from meshwright.package.writer import EngineOutput, Format
    from meshwright.quality.assess import Assessment
    from meshwright.rendering.turntable import FilmFormat

Verdict = Literal["normal", "warning", "failure"]
VERDICTS: tuple[Verdict, ...] = ("normal", "warning", "failure")  # best first


@dataclass(frozen=True, eq=False)
class Result:
    """The meshes of one job, each measured, with all that the manifest says about how they came about.

    ``engines`` holds what every engine did, failed ones included; ``assessments`` has one entry per mesh.
    """

    capture: Capture
    calibrated: CalibratedCapture
    choice: Choice
    engines: dict[str, EngineRun]
    assessments: dict[str, Assessment]
    settings: dict[str, Any] = field(default_factory=dict)
    stage_seconds: dict[str, float] = field(default_factory=dict)

    @property
    def verdict(self) -> Verdict:
        """The best verdict among the meshes."""
        found = {assessment.verdict for assessment in self.assessments.values()}
        return next(verdict for verdict in VERDICTS if verdict in found)

    def save(
        self,
        out: str | Path,
        *,
        formats: Sequence[Format] = ("glb", "obj", "ply"),
        zip: bool = False,
        overwrite: bool = False,
        turntable: FilmFormat | None = None,
        job_id: str | None = None,
        context: Context | None = None,
    ) -> Path:
        """Write the package to the folder ``out`` (and to ``out.zip``): all of it or, on any error, nothing.

        ``turntable`` adds a film of each mesh, ``ENGINE/turntable.webp`` or ``.mp4``.

        Raises:
            InputError: ``out`` is not free and ``overwrite`` is False, or a format is unknown or lacks its extra.
            DiskFull: there is no room.
        """
        from meshwright.cameras.nerfstudio import write_cameras
        from meshwright.package.archive import pack_zip
        from meshwright.package.writer import write_result

        context, out = context or Context(), Path(out)
        with context.stage("package", 0.88, 1.0):
            with context.stage("previews", 0.0, 0.2 if turntable else 0.5):
                outputs = {name: _output(self, name, job_id) for name in self.assessments}
            if turntable is not None:
                outputs = _with_films(outputs, turntable, context, 0.2, 0.7)
            with context.stage("files", 0.7 if turntable else 0.5, 1.0):
                cameras, manifest = write_cameras(self.calibrated, self.capture), _manifest(self, context)
                write_result(out, outputs, manifest, cameras, formats=formats, overwrite=overwrite)
            if zip:
                pack_zip(out, out.with_name(out.name + ".zip"))
        return out


def reconstruct(
    source: Capture | str | Path,
    engine: str = "fusion",
    options: Mapping[str, Any] | EngineOptions | None = None,
    *,
    faces: int | None = None,
    texture_size: int | None = None,
    calibration: CalibrationOptions | None = None,
    holdout: int | Sequence[str] = 0,
    seed: int = 0,
    context: Context | None = None,
) -> Result:
    """Reconstruct an object from a capture (or the path of one) and measure the result.

    ``engine`` is a name, several with commas, ``both`` or ``auto``. ``options`` are the engine's own (`meshwright
    engines` lists them); ``faces``, ``texture_size`` and ``seed`` are those that all engines share. ``holdout`` views
    (a count or names, out of at least 8 views) are kept from the engines and measured apart.

    Raises:
        InputError: the capture, an engine's name or an option cannot be used.
        EngineUnavailable: the only engine asked for cannot run here.
        EngineError: no engine gave a mesh; with several, ``details["engines"]`` says why for each.
        Cancelled: ``context`` asked to stop.
    """
    from meshwright.cameras.calibrate import CalibrationOptions, calibrate
    from meshwright.capture.load import load_capture
    from meshwright.quality.assess import assess
    from meshwright.quality.holdout import choose_holdout

    context, calibration = context or Context(), calibration or CalibrationOptions()
    with context.stage("load", 0.0, 0.04):
        capture = load_capture(Path(source)) if isinstance(source, (str, Path)) else source
        held = choose_holdout(capture.names, holdout)
        choice = resolve(engine, capture)
        wanted = checked_options(choice.engines, _shared(options, faces=faces, texture_size=texture_size, seed=seed))
    with context.stage("calibrate", 0.04, 0.3):
        calibrated = calibrate(capture, calibration, context)
    seen = replace(calibrated, views=tuple(view for view in calibrated.views if view.name not in held))
    runs: dict[str, EngineRun] = {}
    for index, name in enumerate(choice.engines):
        share = 0.5 / len(choice.engines)
        with context.stage(name, 0.3 + index * share, 0.3 + (index + 1) * share):
            runs[name] = run_engine(name, seen, wanted.get(name), context)
    require_one(runs.values())
    with context.stage("assess", 0.8, 0.88):
        meshes = {name: run.result.mesh for name, run in runs.items() if run.result is not None}
        assessments = {name: assess(calibrated, mesh, holdout=held, context=context) for name, mesh in meshes.items()}
    settings = {
        "engine": engine,
        "why": choice.why,
        "holdout": list(held),
        "calibration": asdict(calibration),
        "seed": seed,
    }
    return Result(capture, calibrated, choice, runs, assessments, settings, dict(context.stage_seconds))


def _shared(options: Mapping[str, Any] | EngineOptions | None, **shared: int | None) -> dict[str, Any]:
    own = options.model_dump(exclude_unset=True) if isinstance(options, EngineOptions) else dict(options or {})
    return {name: value for name, value in shared.items() if value is not None} | own


def _output(result: Result, name: str, job_id: str | None) -> EngineOutput:
    """One engine's files: its mesh, its pictures and ``quality.json``."""
    from meshwright.package.writer import EngineOutput
    from meshwright.rendering.previews import render_previews

    run, assessment, source = result.engines[name], result.assessments[name], result.capture.source
    assert run.result is not None
    report = assessment.report(
        job_id,
        name,
        input_file=None if source is None else source.name,
        duration_s=sum(_top(result.stage_seconds, name)),
    )
    previews = render_previews(run.result.mesh)
    return EngineOutput(run.result.mesh, previews, assessment.heat_maps, report.model_dump(mode="json"))


def _with_films(
    outputs: Mapping[str, EngineOutput], kind: FilmFormat, context: Context, low: float, high: float
) -> dict[str, EngineOutput]:
    """The same with a film of each mesh; ``low..high`` of the enclosing stage."""
    from meshwright.rendering.turntable import render_turntable

    filmed: dict[str, EngineOutput] = {}
    for n, (name, output) in enumerate(outputs.items()):
        share = (high - low) / len(outputs)
        with context.stage("turntable", low + n * share, low + (n + 1) * share):
            film = render_turntable(output.mesh, kind, context=context)
        filmed[name] = replace(output, films={f"turntable.{kind}": film})
    return filmed


def _top(seconds: Mapping[str, float], engine: str) -> list[float]:
    return [seconds.get(stage, 0.0) for stage in ("load", "calibrate", engine, "assess")]


def _manifest(result: Result, context: Context) -> package.Manifest:
    """What the manifest says about the run; the writer adds the files and the seal."""
    from meshwright.package.manifest import FileEntry, Manifest, peak_memory_bytes
    from meshwright.quality.assess import plain

    calibrated, metric = result.calibrated, result.calibrated.scale == "metric"
    return Manifest(
        engines={name: _engine_entry(result, run) for name, run in result.engines.items()},
        settings=plain(result.settings),
        seed=result.settings.get("seed"),
        frame="given" if calibrated.given_frame else "canonical",
        axes="those of the given cameras" if calibrated.given_frame else "right-handed, +Y up, front +Z",
        scale=calibrated.scale,
        unit="metre" if metric else "unit",
        stage_seconds={name: round(s, 3) for name, s in (result.stage_seconds | context.stage_seconds).items()},
        peak_memory_bytes=peak_memory_bytes(),
        inputs=[
            FileEntry(path=file.path, sha256=file.sha256, size=file.size)
            for view in result.capture.views
            for file in view.files
        ],
    )


def _engine_entry(result: Result, run: EngineRun) -> package.EngineRun:
    from meshwright.package.manifest import EngineRun as Entry

    done, assessment = run.result, result.assessments.get(run.name)
    return Entry(
        status=run.status,
        options=run.options,
        verdict=None if assessment is None else assessment.verdict,
        error=None if run.error is None else run.error.to_json()["error"],
        notes=[] if done is None else list(done.notes),
        assumptions=[] if done is None else list(done.assumptions),
    )
