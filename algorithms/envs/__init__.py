"""Environments stepped in batches, as single frames: Atari natively, all others by Gymnasium."""

import gymnasium as gym

from algorithms.envs.atari import AtariFrames, atari_games, check_game
from algorithms.envs.atari_ram import AtariRamFrames
from algorithms.envs.catch import Catch
from algorithms.envs.gymnasium_frames import GymnasiumFrames, check_env
from algorithms.envs.vector import GOES_ON, FrameStep, FrameVectorEnv

__all__ = [
    "GOES_ON",
    "AtariFrames",
    "AtariRamFrames",
    "Catch",
    "FrameStep",
    "FrameVectorEnv",
    "GymnasiumFrames",
    "atari_games",
    "check_env",
    "check_game",
]

for _id, _entry_point in (
    ("Catch-v0", "algorithms.envs.catch:Catch"),
    ("Chain-v0", "algorithms.envs.chain:ChainEnv"),
    ("KeyDoor-v0", "algorithms.envs.key_door:KeyDoor"),
):
    if _id not in gym.registry:
        gym.register(_id, entry_point=_entry_point)
