"""The written videos of a run: which of them are there as the run has written them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from arcadia.errors import UserError
from arcadia.media import check_sink, is_pictures, probe
from arcadia.runs import RunFolder
from pipelines.stylization.plan import Clip, VideoPlan, stamp_of

_WRITTEN = "written.json"
_UNDER_WAY = "under way"


class Outputs:
    """Results of a run's videos.

    Args:
        run: where it is noted what was written.
        crf: quality that is asked for.
    """

    def __init__(self, run: RunFolder, crf: int):
        self._run = run
        self._crf = crf

    def check(self, clip: Clip, style: str, *, overwrite: bool, reads_alone: bool) -> None:
        """Refuses a place for a result before any work is done.

        Args:
            clip: whose result.
            style: the style's path, which is never written over.
            overwrite: whether what is there may be replaced, though it be another's.
            reads_alone: whether a video that cannot be read is refused here.
        """
        has_audio = False
        try:
            has_audio = Path(clip.path).is_file() and probe(clip.path).has_audio
        except UserError:
            if reads_alone:
                raise
        check_sink(
            clip.output,
            inputs=[clip.path, style],
            audio_from=clip.path if has_audio and not is_pictures(clip.output) else None,
            overwrite=overwrite,
        )

    def begin(self, video: VideoPlan) -> None:
        """Notes that a result is about to be written: half a sequence of pictures, or a video that
        is there before `end` could say so, is this run's own."""
        self._note(video, _UNDER_WAY)

    def end(self, video: VideoPlan) -> None:
        """Notes that a result is written."""
        self._note(video, stamp_of(video.output))

    def is_written(self, video: Clip | VideoPlan) -> bool:
        """Whether the result is there as this run has written it, in the quality asked for."""
        stamp = stamp_of(video.output)
        return stamp is not None and self._noted(video) == {"crf": self._crf, "stamp": stamp}

    def is_own(self, video: Clip | VideoPlan) -> bool:
        """Whether what is there, if anything, comes from this run."""
        return self.is_written(video) or (self._noted(video) or {}).get("stamp") == _UNDER_WAY

    def _note(self, video: VideoPlan, stamp: Any) -> None:
        self._run.write_json(self._name(video), {"crf": self._crf, "stamp": stamp})

    def _noted(self, video: Clip | VideoPlan) -> dict[str, Any] | None:
        name = self._name(video)
        return self._run.read_json(name) if self._run.exists(name) else None

    @staticmethod
    def _name(video: Clip | VideoPlan) -> str:
        return f"videos/{video.name}/{_WRITTEN}"
