"""Draws docs/pictures/montezuma_goals.png: the goals of Montezuma's Revenge over what the agent
sees, under both ways of preprocessing, and where memory and detector say that the agent is.

.venv/bin/python docs/pictures/montezuma_goals.py
"""

from pathlib import Path

import cv2
import numpy as np

from algorithms.envs import AtariRamFrames
from algorithms.hdqn.montezuma import MontezumaGoals, agent_box, mask_of
from algorithms.hdqn.montezuma_pixels import pixel_entities
from arcadia.media.draw import draw_text
from arcadia.media.images import write_image

ENLARGED = 7
CROP_TOP = 18
COLORS = {
    "key": (255, 214, 10),
    "left door": (255, 122, 89),
    "right door": (255, 122, 89),
    "middle ladder": (90, 200, 250),
    "left ladder": (90, 200, 250),
    "right ladder": (90, 200, 250),
    "rope": (200, 140, 255),
}
MEMORY, DETECTOR = (80, 230, 120), (255, 80, 160)


def column(preprocess: str) -> np.ndarray:
    """The goals over one picture, enlarged, under a title."""
    frames = AtariRamFrames("montezuma_revenge", 1, noop_max=0, preprocess=preprocess)
    frames.reset(np.array([1]))
    for _ in range(8):  # until the agent stands
        frames.send(np.array([0]))
        frames.recv()
    (moment,) = frames.moments(screen=True)
    frames.close()
    picture = np.repeat(_larger(moment.observation)[:, :, None], 3, axis=2)
    goals = MontezumaGoals(preprocess, CROP_TOP)
    masks = goals.inputs()
    for name, mask in zip(goals.names, masks, strict=True):
        where = _larger(mask) > 0
        picture[where] = (0.5 * picture[where] + 0.5 * np.array(COLORS[name])).astype(np.uint8)
        _outline(picture, mask, COLORS[name])
    seen = pixel_entities(moment)["agent"]
    for box, color, thickness in (
        (agent_box(moment.info["ram"]), MEMORY, 6),
        (seen, DETECTOR, 2),
    ):
        _outline(picture, mask_of(box, preprocess, CROP_TOP), color, thickness)
    for name, mask in zip(goals.names, masks, strict=True):
        x, y, width, height = (ENLARGED * edge for edge in cv2.boundingRect(mask))
        place = {
            "key": (x + width + 6, y + 10),
            "right door": (x - 86, y + 10),
            "middle ladder": (x - 112, y + height // 2),
            "right ladder": (x - 102, y + height // 2),
            "rope": (x + width + 6, y + height // 2),
        }.get(name, (x + width + 6, y + (10 if "door" in name else height // 2)))
        picture = draw_text(picture, name, place, size=15, color=COLORS[name])
    title = np.full((34, picture.shape[1], 3), 255, np.uint8)
    return np.vstack([draw_text(title, preprocess, (4, 6), size=18, color=(30, 30, 40)), picture])


def _larger(plane: np.ndarray) -> np.ndarray:
    return np.kron(plane, np.ones((ENLARGED, ENLARGED), np.uint8))


def _outline(
    picture: np.ndarray, mask: np.ndarray, color: tuple[int, int, int], thickness: int = 2
) -> None:
    """Around the pixels of a mask, in the enlarged picture."""
    x, y, width, height = (ENLARGED * edge for edge in cv2.boundingRect(mask))
    cv2.rectangle(picture, (x, y), (x + width - 1, y + height - 1), color, thickness)


def main() -> None:
    """Writes the picture beside this file."""
    columns = [column(preprocess) for preprocess in ("crop", "resize")]
    gap = np.full((columns[0].shape[0], 12, 3), 255, np.uint8)
    whole = np.hstack([columns[0], gap, columns[1]])
    legend = np.full((32, whole.shape[1], 3), 255, np.uint8)
    legend = draw_text(legend, "the agent: by the memory", (4, 8), size=16, color=(30, 150, 70))
    legend = draw_text(legend, "by the detector", (250, 8), size=16, color=(210, 40, 120))
    write_image(Path(__file__).with_name("montezuma_goals.png"), np.vstack([whole, legend]))


if __name__ == "__main__":
    main()
