"""The user study of Iizuka et al. 2016, section 5.2, as a page: does a picture look real?

Each picture is shown once and briefly, either as it is or in the colours of a network, in an order
that a seed decides; nobody sees the same picture twice. The page holds everything, and its answers
leave it only as a file that its reader saves.
"""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Callable, Iterable, Iterator
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import jinja2
import numpy as np

from arcadia import __version__
from arcadia.atomic import beside
from arcadia.errors import UserError
from arcadia.media import image_bytes, resized, scaled_size
from arcadia.progress import Progress
from arcadia.workers import device_of
from pipelines.colorization.coloring.brush import Brush, find_weights
from pipelines.colorization.coloring.pictures import decode_picture
from pipelines.colorization.coloring.plan import expanded
from pipelines.colorization.files import load_colorizer
from pipelines.colorization.loading import decoded
from pipelines.places import PreparedData, PrepareOptions
from pipelines.places.images import has_little_color

if TYPE_CHECKING:
    from pipelines.colorization.coloring.job import ColorizeOptions

_LONGEST_PX = 512


class _Picture(NamedTuple):
    name: str
    image: np.ndarray
    """uint8 (H, W, 3) RGB."""


def make_study(command: ColorizeOptions) -> dict[str, Any]:
    """Writes the page of a user study.

    Returns:
        `study`, its path; `images`, how many of each kind; `problems`, of pictures left out.

    Raises:
        UserError: the pictures are too few, or a word does not belong to a study.
    """
    assert command.user_study is not None
    if command.inputs:
        raise UserError(
            f"INPUT {command.inputs[0]}: the pictures of a user study are those of --user-study; "
            "leave inputs out"
        )
    path = Path(command.output or "study.html").absolute()
    if path.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"output {command.output}: a user study is a page; give a name in .html")
    if path.exists() and not command.overwrite:
        raise UserError(f"{path}: exists; give another name, or --overwrite to replace it")
    weights = {"coloured": find_weights(command.run, command.weights, command.checkpoint)}
    if command.study_baseline is not None:
        weights["baseline"] = find_weights(command.study_baseline, None, command.checkpoint)
    device = device_of(1)
    brushes = {
        kind: Brush(
            load_colorizer(found.path, device), size=command.size, precision=command.precision
        )
        for kind, found in weights.items()
    }
    kinds = ["true", *brushes]
    each = command.study_images // len(kinds)
    if not each:
        raise UserError(f"study_images {command.study_images}: must be at least {len(kinds)}")
    seed = command.seed or 0
    rng = np.random.default_rng(seed)
    problems: list[str] = []
    pictures = _pictures(_sources(command.user_study, rng), problems)
    trials: list[dict[str, str]] = []
    with Progress(each * len(kinds), "pictures", "Preparing") as progress:
        for at, picture in zip(range(each * len(kinds)), pictures, strict=False):
            kind = kinds[at % len(kinds)]
            trials.append(_trial(picture, kind, brushes.get(kind)))
            progress.update(at + 1)
    if len(trials) < len(kinds):
        raise UserError(
            f"{command.user_study}: pictures there that have colours: {len(trials)}, and a study "
            f"needs {len(kinds)} or more"
        )
    trials = trials[: len(trials) // len(kinds) * len(kinds)]
    order = rng.permutation(len(trials))
    html = study_html(
        [trials[at] for at in order],
        shown_s=command.study_seconds,
        about={
            "seed": seed,
            "networks": {kind: found.name for kind, found in weights.items()},
            "pictures": command.user_study,
        },
    )
    with beside(path) as temporary:
        temporary.write_text(html, encoding="utf-8")
    print(f"Study: {path}, {len(trials)} pictures")
    for problem in problems:
        print(f"Left out: {problem}")
    count = len(trials) // len(kinds)
    return {"study": str(path), "images": dict.fromkeys(kinds, count), "problems": problems}


def study_html(trials: list[dict[str, str]], *, shown_s: float, about: dict[str, Any]) -> str:
    """The page. The same trials give the same text.

    Args:
        trials: in the order shown: `name`, `kind` and `image`, the base64 of a JPEG file.
        shown_s: seconds for which each is seen.
        about: what else is saved with the answers.
    """
    state = repr([(t["name"], t["kind"], t["image"]) for t in trials])
    study = {
        "id": hashlib.sha256(state.encode()).hexdigest()[:12],
        "shown_s": shown_s,
        "about": about,
        "trials": trials,
    }
    return _template().render(study=study, version=__version__)


def _pictures(
    sources: Iterable[tuple[str, Callable[[], np.ndarray]]], problems: list[str]
) -> Iterator[_Picture]:
    """Those that have colours."""
    options = PrepareOptions()
    for name, decode in sources:
        try:
            image = decode()
        except UserError as error:
            problems.append(str(error))
            continue
        height, width, _ = image.shape
        longest = min(_LONGEST_PX, max(height, width))
        image = resized(image, scaled_size(height, width, longest))
        if not has_little_color(cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options):
            yield _Picture(name, image)


def _sources(
    place: str, rng: np.random.Generator
) -> Iterable[tuple[str, Callable[[], np.ndarray]]]:
    """Names of pictures, and what decodes them, in a random order."""
    if PreparedData.is_at(place):
        return _prepared(PreparedData.open(place), rng)
    found = [one.source for one in expanded(place) if not one.is_film]
    return [
        (Path(found[at]).name, functools.partial(_first_layer, found[at]))
        for at in rng.permutation(len(found))
    ]


def _prepared(
    data: PreparedData, rng: np.random.Generator
) -> Iterator[tuple[str, Callable[[], np.ndarray]]]:
    groups = data.row_groups()
    for at in rng.permutation(len(groups)):
        rows = data.read(groups[at])
        columns = (rows["name"].to_pylist(), rows["image"].to_pylist())
        for name, image in zip(*columns, strict=True):
            yield name, functools.partial(decoded, image)


def _first_layer(source: str) -> np.ndarray:
    return decode_picture(source)[0]


def _trial(picture: _Picture, kind: str, brush: Brush | None) -> dict[str, str]:
    image = picture.image if brush is None else brush(picture.image[None])[0]
    # All in one format, which therefore tells nothing.
    data = base64.b64encode(image_bytes(image, ".jpg")).decode()
    return {"name": picture.name, "kind": kind, "image": data}


@functools.cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    folder = resources.files("pipelines.colorization.coloring")
    return environment.from_string(folder.joinpath("study_template.html.j2").read_text("utf-8"))
