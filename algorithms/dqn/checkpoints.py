"""What a checkpoint of DQN holds besides RLlib's: the policy, and what is learnt from."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from pyarrow.fs import FileSystem, LocalFileSystem, copy_files
from ray.rllib.algorithms.algorithm import Algorithm

from algorithms.dqn.distributed import Distributed
from algorithms.dqn.one_process import OneProcess
from algorithms.dqn.options import DQNOptions
from algorithms.dqn.policy import read_policy, write_policy
from algorithms.dqn.runner import DQNRunner
from algorithms.replay import FrameReplay
from algorithms.replay.reshard import fill
from algorithms.replay.sharded import saved_folders

_REPLAY = "replay"  # folder of the replay's files in a checkpoint


class SavesCheckpoints(Algorithm):
    """The part of `DQN` that writes and reads folders."""

    options: DQNOptions
    runner: DQNRunner
    loop: OneProcess | Distributed
    num_env_steps: Any
    replays: Any

    if TYPE_CHECKING:

        def level_options(self) -> dict[str, DQNOptions]: ...
        def _make_replay(self, level: str) -> FrameReplay: ...

    def save_to_path(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        replay: bool | None = None,
        **kwargs: Any,
    ) -> str:
        """Saves all of the algorithm's state, its policy alone in a file for `load_policy`, and the
        replay in the folder's `replay`.

        Args:
            path: A folder or an address; None: a new temporary folder.
            replay: Whether to save the replay too; None: unless `save_replay` is "none".
            **kwargs: RLlib's.

        Returns:
            The path.
        """
        self.loop.settle()
        path = super().save_to_path(None if path is None else os.fspath(path), **kwargs)
        filesystem, root = _filesystem_of(path, kwargs.get("filesystem"))
        is_local = isinstance(filesystem, LocalFileSystem)
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(root if is_local else temporary)
            if isinstance(self.loop, Distributed):  # its own copy, which nothing acts with
                network, _ = self.loop.learners.weights()
                self.runner.take_weights(ray.get(network))
            self._write_policy(folder)
            if self.options.save_replay != "none" if replay is None else replay:
                self.save_replays(folder / _REPLAY)
            if not is_local:
                copy_files(temporary, root, destination_filesystem=filesystem)
        return path

    def _write_policy(self, folder: Path) -> None:
        """Writes what the runner plays with; its networks are the learners' latest."""
        module = self.runner.module
        write_policy(
            folder,
            module.online,
            self.options,
            arguments=module.arguments,
            action_space=self.runner.frames.action_space,
            step=self.num_env_steps,
        )

    def restore_from_path(
        self,
        path: str | os.PathLike[str],
        *,
        component: str | None = None,
        filesystem: FileSystem | None = None,
        **kwargs: Any,
    ) -> None:
        """Takes up what `save_to_path` saved, and goes on as the one who saved would have.

        Without a saved replay the replay stays as it is, and an empty one fills before learning
        goes on.

        Args:
            path: A folder or an address.
            component: One part only, as RLlib names it.
            filesystem: Where `path` is, unless the path says it.
            **kwargs: RLlib's.

        Raises:
            UserError: There is no checkpoint of DQN, or one of another game.
        """
        if component is not None:
            super().restore_from_path(path, component=component, filesystem=filesystem, **kwargs)
            return
        source, root = _filesystem_of(os.fspath(path), filesystem)
        with tempfile.TemporaryDirectory() as folder:
            if not isinstance(source, LocalFileSystem):
                copy_files(root, folder, source_filesystem=source)
                root = folder
            self._check_checkpoint(root, os.fspath(path))
            self.loop.settle()
            super().restore_from_path(root, **kwargs)
            if Path(root, _REPLAY).is_dir():
                self.restore_replays(Path(root, _REPLAY))

    def _check_checkpoint(self, folder: str, path: str) -> None:
        """Refuses a folder that holds another game's; `path` is what errors call it."""
        read_policy(folder).check_played(self.options, path)

    def save_replays(self, folder: Path) -> None:
        """Writes what is learnt from to a folder: of one module into it, of several into folders in
        it that have their names."""
        for name, own in self._replay_folders(folder).items():
            self.replays[name].save(own)

    def restore_replays(self, folder: Path) -> None:
        """Takes up what `save_replays` wrote, with any number of shards.

        Raises:
            UserError: As `FrameReplay.restore`.
        """
        for name, own in self._replay_folders(folder).items():
            folders = saved_folders(own)
            if isinstance(self.loop, Distributed) or folders == [own]:
                self.replays[name].restore(own)
                continue
            replay = self.loop.levels[name].replay = self._make_replay(name)
            fill(replay, folders, num_streams=self.options.num_streams)

    def _replay_folders(self, folder: Path) -> dict[str, Path]:
        names = list(self.level_options())
        return {name: folder / name if len(names) > 1 else folder for name in names}


def _filesystem_of(path: str, filesystem: FileSystem | None) -> tuple[FileSystem, str]:
    """A file system and the path in it, of a path in `filesystem`, or else a path or address."""
    if filesystem is not None:
        return filesystem, path
    if "://" not in path:
        return LocalFileSystem(), os.path.abspath(path)
    return FileSystem.from_uri(path)
