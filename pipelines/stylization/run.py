"""A stylization from its plan to its report."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from arcadia.atomic import held_alone
from arcadia.errors import Incomplete, UserError
from arcadia.gauges import Gauges
from arcadia.media import open_source, read_image
from arcadia.progress import Progress
from arcadia.runs import RunFolder
from arcadia.stop import StopSignal
from arcadia.workers import Workers, workers_for
from pipelines.stylization.config import options_from
from pipelines.stylization.outputs import Outputs
from pipelines.stylization.plan import (
    STYLE,
    Clip,
    VideoPlan,
    check_clips,
    clips_of,
    num_to_read,
    plan_video,
    rate_of,
    read_style,
    save_style,
    stamp_of,
)
from pipelines.stylization.results import Manifest

if TYPE_CHECKING:
    from pipelines.stylization.job import StylizeOptions
    from pipelines.stylization.parts import Part

_PERIOD_S = 1.0


class Stylization:
    """A run under way.

    Args:
        run: where everything is, or where it will be.
        command: how it is carried out.
        config: what is painted, and how; the run's.
        create: makes the run. Nothing is written before all that can be refused is known.
    """

    def __init__(
        self,
        run: RunFolder,
        command: StylizeOptions,
        config: Mapping[str, Any],
        create: Callable[[], RunFolder] | None = None,
    ):
        self._run = run
        self._command = command
        self._config = config
        self._create = create
        self._outputs = Outputs(run, command.crf)
        self._options = options_from(config["options"])
        self._clips = clips_of(config)
        self._fps = rate_of(config["fps"])
        # What was looked at once, is known.
        self._source = functools.cache(lambda clip: open_source(clip.path, fps=self._fps))
        self._began = time.monotonic()
        self._problems: list[str] = []
        self._stop = StopSignal()

    def carry_out(self) -> dict[str, Any]:
        """Plans, estimates, paints, writes, reports; see `job.stylize`."""
        from arcadia.cluster import connect, largest_node_cpus

        self._check_inputs()
        self._check_outputs()
        resources = connect(self._command.address)
        with self._stop:
            try:
                plans = self._plans()
                parts = [part for plan in plans for part in plan.parts(self._options)]
                workers = workers_for(
                    resources,
                    len(parts),
                    number=self._command.num_workers,
                    num_cpus=self._command.num_cpus_per_worker,
                    num_gpus=self._command.num_gpus_per_worker,
                    largest_node_cpus=largest_node_cpus(),
                )
                estimated = self._estimate(plans, parts, workers)
                self._heed()
            except _Asked:
                what, how = (
                    ("more", "go on") if self._create is None else ("anything", "begin anew")
                )
                raise Incomplete(
                    f"stopped before {what} was painted; the same words {how}", {}
                ) from None
            if self._command.estimate:
                return {"estimate": estimated, "problems": self._problems}
            with contextlib.ExitStack() as lock:
                self._begin(plans, lock)
                return self._carry_on(plans, parts, workers)

    def _carry_on(
        self, plans: Sequence[VideoPlan], parts: Sequence[Part], workers: Workers
    ) -> dict[str, Any]:
        from arcadia.run_report import write_report
        from pipelines.stylization.pages import page

        run, before = self._run, self._num_done(parts)
        self._paint(parts, workers)
        painted = self._num_done(parts) - before
        written = [plan for plan in plans if self._is_painted(plan) and self._write(plan)]
        is_whole = len(written) == len(self._clips)
        was_stopped = self._stop.requested and not is_whole
        path = None
        try:
            run.set_status("completed" if is_whole else "stopped" if was_stopped else "failed")
            path = write_report(run, page(run)) if written else None
        except UserError as error:  # the disk is full: what was done is told all the same
            self._problems.append(str(error))
        return self._result(plans, written, painted, path, was_stopped)

    def _heed(self) -> None:
        if self._stop.requested:
            raise _Asked

    def _counted(self, progress: Progress) -> Callable[[int], None]:
        """What a long piece of work calls with how much is done: shows it, or ends the work."""

        def count(done: int) -> None:
            progress.update(done)
            self._heed()

        return count

    def _check_inputs(self) -> None:
        """Refuses pictures that are none, and videos where none can be painted as was asked."""
        if self._create is not None:
            for picture in (self._config["style"], self._options.style_weight_map):
                if picture is not None:
                    read_image(picture)
            if self._run.exists(STYLE):
                raise UserError(
                    f"{self._run.storage.shown()}: holds a {STYLE} and no run; choose an empty "
                    "folder as --run-dir"
                )
            check_clips(self._clips, self._source, self._options, self._config["preview"])

    def _check_outputs(self) -> None:
        """Refuses places for results before any work is done."""
        is_over = self._create is None and self._run.status == "completed"
        for clip in self._clips:
            # What an unfinished run has written itself is in nobody's way.
            is_own = not is_over and self._outputs.is_own(clip)
            self._outputs.check(
                clip,
                self._config["style"],
                overwrite=self._command.overwrite or self._command.estimate or is_own,
                reads_alone=len(self._clips) == 1,
            )

    def _plans(self) -> list[VideoPlan]:
        """Of the videos that can be read at all; those of an earlier call are in the run."""
        plans = []
        for clip in self._clips:
            try:
                plan = self._plan(clip)
            except UserError as error:
                if len(self._clips) == 1:
                    raise
                self._problems.append(str(error))
                continue
            if plan.problem:
                self._problems.append(plan.problem)
            plans.append(plan)
        if not plans:
            raise UserError("; ".join(self._problems))
        for problem in self._problems:
            print(f"Problem: {problem}", flush=True)
        return plans

    def _plan(self, clip: Clip) -> VideoPlan:
        if VideoPlan.exists(self._run.storage, clip.name):
            return VideoPlan.load(self._run.storage, clip.name)
        preview = self._config["preview"]
        total = num_to_read(self._source(clip).info, preview)
        with Progress(max(total, 1), "frames", f"Reading {clip.name}") as progress:
            return plan_video(
                clip,
                self._options,
                fps=self._fps,
                preview=preview,
                on_frame=self._counted(progress),
            )

    def _begin(self, plans: Sequence[VideoPlan], lock: contextlib.ExitStack) -> None:
        """Makes the run if need be, and holds it alone until `lock` is closed; what is written from
        here on stays."""
        if self._create is not None:
            self._run = self._create()
            self._outputs = Outputs(self._run, self._command.crf)
        run = self._run
        if run.storage.is_local:
            lock.enter_context(held_alone(run.path))
        lock.enter_context(run.noting_failure())
        if not run.exists(STYLE):
            save_style(run, self._config["style"], self._options.style_weight_map)
        for plan in plans:
            if not VideoPlan.exists(run.storage, plan.name):
                plan.save(run.storage)
            elif self._is_lost(plan):
                self._check_gone(plan)
                print(f"{plan.name}: its painted frames were removed; it is painted again")
                for name in ("parts", "report"):
                    run.storage.delete_tree(f"videos/{plan.name}/{name}")
        run.set_status("running")
        how = ", which goes on where it was" if self._create is None else ""
        print(f"Run: {run.storage.shown()}{how}", flush=True)

    def _check_gone(self, plan: VideoPlan) -> None:
        """Refuses to paint all anew because a result that is there was changed, or is wanted in
        another quality."""
        if stamp_of(plan.output) is not None:
            raise UserError(
                f"{plan.output}: is not as this run wrote it, or is wanted with another --crf, and "
                "its painted frames were removed then; take it away to have it painted again, or "
                "choose another --run-dir"
            )

    def _estimate(
        self, plans: Sequence[VideoPlan], parts: Sequence[Part], workers: Workers
    ) -> dict[str, Any]:
        """Measures a few gradients where they will be computed, and says what all will take."""
        from pipelines.stylization.estimate import estimate, in_words
        from pipelines.stylization.measuring import check_room, measure_costs

        if all(self._is_painted(plan) and not self._is_lost(plan) for plan in plans):
            print("All frames are painted", flush=True)
            return {}
        lost = {plan.name for plan in plans if self._is_lost(plan)}
        done = {
            (part.video, part.number): 0 if part.video in lost else self._units(part)
            for part in parts
        }
        if self._create is None and self._run.exists(STYLE):
            style, _ = read_style(self._run.storage)
        else:
            style = read_image(self._config["style"])
        costs = measure_costs(
            dataclasses.asdict(self._options),
            {plan.size for plan in plans},
            style,
            workers,
            self._heed,
        )
        found = estimate(plans, parts, self._options, costs, workers.number, done)
        print(in_words(found, plans, costs, workers.number), flush=True)
        check_room(self._run, found.disk_bytes)
        return dataclasses.asdict(found)

    def _paint(self, parts: Sequence[Part], workers: Workers) -> None:
        """Paints what is not done, until it is or a signal comes."""
        todo = [part for part in parts if not self._manifest(part).is_complete]
        if not todo or self._stop.requested:
            return
        from pipelines.stylization.data import Painting

        passes = self._options.passes
        total = sum(part.num_frames * passes for part in parts)
        units = {(part.video, part.number): self._units(part) for part in parts}
        painting = Painting(
            self._run.uri, todo, dataclasses.asdict(self._options), self._run.seed or 0, workers
        )
        unit = "frames" if passes == 1 else "frames x passes"
        gauges = Gauges(self._run.storage, self._run.kind)
        with gauges, Progress(total, unit, "Painting", start=sum(units.values())) as progress:
            while not painting.is_over:
                painting.wait(_PERIOD_S)
                latest, seconds = painting.progress()
                units |= latest
                fields = {"seconds_per_frame": seconds} if seconds else {}
                progress.update(sum(units.values()), **fields)
                gauges.set(
                    {
                        "video/frames_stylized": sum(units.values()),
                        "video/frames_per_s": progress.rate,
                        "queue/depth": len(todo) - len(painting.returned()),
                    }
                )
                if self._stop.requested:  # each time: the board may have been restarted
                    painting.stop()
            painting.wait()
        errors = painting.returned().items()
        self._problems += [f"{v}: {e}" for (v, _), e in errors if e not in ("", "stopped")]

    def _write(self, plan: VideoPlan) -> bool:
        """Writes a painted video, and what the report shows of it; answers whether it is there."""
        from pipelines.stylization import finish

        run, folder = self._run, f"videos/{plan.name}"
        try:
            if not self._outputs.is_written(plan):
                self._outputs.begin(plan)
                what = f"Writing {Path(plan.output).name}"
                with Progress(plan.num_frames, "frames", what) as progress:
                    finish.write_output(
                        run,
                        plan,
                        self._options,
                        crf=self._command.crf,
                        on_frame=self._counted(progress),
                    )
                self._outputs.end(plan)
            if not run.exists(f"{folder}/{finish.SEAMS}"):
                finish.write_pictures(run, plan, self._options)
                seams = finish.seam_errors(run, plan, self._options)
                run.write_json(f"{folder}/{finish.SEAMS}", seams)
        except _Asked:
            return False
        except UserError as error:
            self._problems.append(f"{error}; its painted frames are kept in the run")
            return False
        if not self._command.keep_frames:
            finish.drop_frames(run, plan)
        return True

    def _result(
        self,
        plans: Sequence[VideoPlan],
        written: Sequence[VideoPlan],
        painted: int,
        report: Path | str | None,
        was_stopped: bool,
    ) -> dict[str, Any]:
        from pipelines.stylization.pages import mean_error, mean_seconds

        errors = [e for plan in written if (e := mean_error(self._run, plan)) is not None]
        result = {
            "run": self._run.uri,
            "outputs": [plan.output for plan in written],
            "frames": sum(plan.num_frames for plan in plans),
            "frames_painted": painted,
            "shots": sum(len(plan.shots) for plan in plans),
            "seconds": round(time.monotonic() - self._began, 1),
            "seconds_per_frame": mean_seconds(self._run, plans),
            "warping_error_lai": sum(errors) / len(errors) if errors else None,
            "report": None if report is None else str(report),
            "problems": self._problems,
        }
        for plan in written:
            print(f"Video: {plan.output}")
        if report is not None:
            print(f"Report: {report}")
        if was_stopped:
            print(f"Stopped; the same words or --resume {self._run.storage.shown()} go on")
            raise Incomplete("stopped before all was painted; what is finished is kept", result)
        if self._problems:
            raise Incomplete("; ".join(self._problems), result)
        return result

    def _manifest(self, part: Part) -> Manifest:
        return Manifest(self._run.storage, part)

    def _units(self, part: Part) -> int:
        manifest = self._manifest(part)
        done = len(manifest.passes) * part.num_frames
        return done if manifest.is_complete else done + len(manifest.frames)

    def _num_done(self, parts: Sequence[Part]) -> int:
        return sum(self._units(part) for part in parts)

    def _is_painted(self, plan: VideoPlan) -> bool:
        return all(self._manifest(part).is_complete for part in plan.parts(self._options))

    def _is_lost(self, plan: VideoPlan) -> bool:
        """Whether a video was painted, and neither its frames nor its result are there any more."""
        return (
            self._is_painted(plan)
            and not self._run.exists(f"videos/{plan.name}/frames")
            and not self._outputs.is_written(plan)
        )


class _Asked(Exception):
    """Raised to end a piece of work when a signal came."""
