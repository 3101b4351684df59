"""Draws docs/pictures/crop.png: what the 2013 preprocessing keeps of seven games.

.venv/bin/python docs/pictures/crop.py
"""

from pathlib import Path

import cv2
import numpy as np

from algorithms.dqn import DQNOptions
from algorithms.dqn.paper_scores import TABLE_1
from algorithms.envs import AtariFrames
from arcadia.media.draw import draw_text
from arcadia.media.images import write_image

SCALED = (84, 110)  # columns and rows before the crop
ENLARGED = 2


def column(game: str, crop_top: int) -> np.ndarray:
    """One game: its screen scaled to 110x84 with the crop outlined, and below it the crop."""
    agent, screen = AtariFrames(game, 1, crop_top=crop_top), AtariFrames(game, 1, screen=True)
    agent.reset(np.array([0]))
    screen.reset(np.array([0]))
    rng = np.random.default_rng(0)
    for _ in range(60):
        action = rng.integers(agent.num_actions, size=1)
        agent.send(action)
        screen.send(action)
        seen, shown = agent.recv().frame[0], screen.recv().frame[0]
    whole = cv2.resize(shown, SCALED, interpolation=cv2.INTER_AREA)
    whole = np.kron(whole, np.ones((ENLARGED, ENLARGED, 1), np.uint8))
    top, bottom = ENLARGED * crop_top, ENLARGED * (crop_top + 84) - 1
    cv2.rectangle(whole, (0, top), (whole.shape[1] - 1, bottom), (255, 176, 59), 2)
    crop = np.kron(seen, np.ones((ENLARGED, ENLARGED), np.uint8))
    label = np.full((24, whole.shape[1], 3), 255, np.uint8)
    label = draw_text(label, game.replace("_", " "), (2, 3), size=14, color=(30, 30, 40))
    gap = np.full((8, whole.shape[1], 3), 255, np.uint8)
    return np.vstack([label, whole, gap, np.repeat(crop[:, :, None], 3, axis=2)])


def main() -> None:
    """Writes the picture beside this file."""
    columns = [column(game, DQNOptions().crop_top) for game in TABLE_1]
    gap = np.full((columns[0].shape[0], 10, 3), 255, np.uint8)
    parts = [part for c in columns for part in (c, gap)][:-1]
    write_image(Path(__file__).with_name("crop.png"), np.hstack(parts))


if __name__ == "__main__":
    main()
