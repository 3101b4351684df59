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

if "Catch-v0" not in gym.registry:
    gym.register("Catch-v0", entry_point="algorithms.envs.catch:Catch")
if "KeyDoor-v0" not in gym.registry:
    gym.register("KeyDoor-v0", entry_point="algorithms.envs.key_door:KeyDoor")
