"""Ray Data's actors and tasks: painters of a film, colourers of pictures, and their preparation."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np

from arcadia.errors import UserError
from arcadia.media import read_image, read_video, write_image
from arcadia.runs import RunFolder
from benchmarks.chaos.kind import Ended, Kind, stamps
from benchmarks.chaos.made import picture, write_film, write_pictures

_WORKERS = ("--num-workers", "2", "--num-cpus-per-worker", "1", "--json")
# What two workers on two cores do in a second.
_FRAMES_PER_S, _COLORED_PER_S, _PREPARED_PER_S = 2.0, 10.0, 24.0
_SHOT = 16  # frames


class Stylize(Kind):
    """A film of short shots, so that there is always one for each of two painters."""

    name = "stylize"
    unit = "frames"

    def prepare(self) -> None:
        shots = max(round(self.seconds * _FRAMES_PER_S / _SHOT), 4)
        self._frames = write_film(self.folder / "film.mp4", shots, _SHOT)
        write_image(self.folder / "style.png", picture(64, 1))

    def words(self) -> list[str]:
        words = ["stylize", "film.mp4", "--style", "style.png", "--output", "out.mp4"]
        words += ["--run-dir", "run", "--seed", "5", "--content-layers", "relu2_1"]
        words += ["--style-layers", "relu1_1", "relu2_1", "--flow", "dis_medium"]
        words += ["--iterations-first", "40", "--iterations", "40", "--stop-change", "0"]
        return [*words, "--keep-frames", *_WORKERS]

    def again(self, *, to_the_end: bool) -> list[str]:
        return self.words()  # which find the run

    def done(self) -> int:
        return len(self.finished())

    def finished(self) -> dict[str, int]:
        paths = []
        for manifest in self.run.glob("videos/*/parts/*.json"):
            frames = manifest.parents[1] / "frames"
            records = json.loads(manifest.read_bytes())["frames"]
            paths += [frames / f"{record['frame']:08d}.png" for record in records]
        return stamps(paths)

    def missing(self, ended: Ended) -> list[str]:
        found = [*ended.result["problems"]]
        shown = sum(1 for _ in read_video(self.folder / "out.mp4"))
        if shown != self._frames:
            found.append(f"the video has {shown:,} of {self._frames:,} frames")
        if (painted := self.done()) != self._frames:
            found.append(f"{painted:,} of {self._frames:,} frames are finished")
        if again := self.made_again(ended):
            found.append(f"{len(again):,} finished frames were painted again")
        return found + unreadable(list(self.run.glob("videos/*/frames/*.png")))


class Colorize(Kind):
    """Photographs, by a network that has learnt nothing, which takes as long."""

    name = "colorize"
    unit = "pictures"

    def prepare(self) -> None:
        import torch

        from pipelines.colorization.files import save_colorizer
        from pipelines.colorization.networks import Colorizer

        torch.manual_seed(0)
        save_colorizer(Colorizer(2, image_size=64).eval(), self.folder / "colorizer.safetensors")
        self._count = max(round(self.seconds * _COLORED_PER_S), 64)
        write_pictures(self.folder / "in", self._count, side=256, classes=("",))

    def words(self) -> list[str]:
        words = ["colorize", "in", "--weights", "colorizer.safetensors", "--output", "out"]
        return [*words, "--run-dir", "run", *_WORKERS]

    def again(self, *, to_the_end: bool) -> list[str]:
        return ["colorize", "--resume", "run", *_WORKERS]

    def done(self) -> int:
        return len(self.finished())

    def finished(self) -> dict[str, int]:
        # What is written has its name in a manifest within a second; until then it may be made
        # again, so that what is there is more than what is promised to stay.
        return stamps(list((self.folder / "out").glob("[!.]*")))

    def missing(self, ended: Ended) -> list[str]:
        result, found = ended.result, [*ended.result["problems"]]
        if result["images"] != self._count or RunFolder.open(self.run).status != "completed":
            found.append(f"{result['images']:,} of {self._count:,} pictures are coloured")
        wanted = {f"{number:05d}-color.png" for number in range(self._count)}
        there = set(self.finished())
        if there != wanted:
            found.append(
                f"of {len(wanted):,} results {len(wanted - there):,} are not there, and "
                f"{len(there - wanted):,} other files are"
            )
        return found + unreadable([self.folder / "out" / name for name in sorted(wanted & there)])


class Places(Kind):
    """Large pictures, made into a data set in parts of a few."""

    name = "places"
    unit = "parts"

    _part = 32  # pictures

    def prepare(self) -> None:
        count = max(round(self.seconds * _PREPARED_PER_S), 8 * self._part)
        self._names = write_pictures(self.folder / "pictures", count, side=2400)

    def words(self) -> list[str]:
        words = ["places", "prepare", "pictures", "data", "--size", "64", "--seed", "1"]
        return [*words, "--shard-images", str(self._part), "--json"]

    def again(self, *, to_the_end: bool) -> list[str]:
        return self.words()

    def done(self) -> int:
        return len(self.finished())

    def finished(self) -> dict[str, int]:
        parts = self.folder / "data" / "parts"
        shards = self.folder / "data" / "shards"
        return stamps([shards / f"{path.stem}.parquet" for path in parts.glob("[!.]*.json")])

    def missing(self, ended: Ended) -> list[str]:
        from pipelines.places import PreparedData

        data = PreparedData.open(str(self.folder / "data"))
        names = [n for group in data.row_groups() for n in data.read(group)["name"].to_pylist()]
        left_out = data.manifest["rejected"] | {"of little colour": data.manifest["filtered"]}
        found = [f"{number:,} pictures: {why}" for why, number in left_out.items() if number]
        if again := self.made_again(ended):
            found.append(f"{len(again):,} finished parts were prepared again")
        return found + miscounted(names, self._names)


def miscounted(found: list[str], wanted: list[str]) -> list[str]:
    """Rows that are missing, twice there, or of nothing that was asked for; a line for each kind
    of mistake."""
    have, want = Counter(found), Counter(wanted)
    problems = []
    if missing := want.keys() - have.keys():
        problems.append(f"{len(missing):,} of {len(want):,} rows are not there")
    if double := {name for name, number in have.items() if number > 1}:
        problems.append(f"{len(double):,} rows are there more than once")
    if other := have.keys() - want.keys():
        problems.append(f"{len(other):,} rows are of nothing that was there")
    return problems


def unreadable(paths: list[Path]) -> list[str]:
    """Pictures that are no whole files, or show nothing."""
    bad = []
    for path in paths:
        try:
            shown = read_image(path)
        except UserError:
            bad.append(path.name)
            continue
        if not np.ptp(shown):
            bad.append(path.name)
    return [f"{len(bad):,} pictures are damaged, such as {bad[0]}"] if bad else []
