"""What a checkpoint of DQN holds besides RLlib's: the policy, what is learnt from, a list of files.

RLlib keeps state in pickles. Nothing of a folder is unpickled before its files are those of the
list, and its state is found to be data alone (`plain_pickles`).
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Self

import ray
from pyarrow.fs import FileSystem, FileType, LocalFileSystem, copy_files
from ray.rllib.algorithms.algorithm import Algorithm

from algorithms.dqn.distributed import Distributed
from algorithms.dqn.one_process import OneProcess
from algorithms.dqn.options import DQNOptions
from algorithms.dqn.plain_pickles import check_plain
from algorithms.dqn.policy import POLICY_FILE, read_policy, write_policy
from algorithms.dqn.runner import DQNRunner
from algorithms.replay import FrameReplay
from algorithms.replay.reshard import fill
from algorithms.replay.sharded import saved_folders
from arcadia.errors import UserError
from arcadia.manifests import MANIFEST, check_manifest, write_manifest

_REPLAY = "replay"  # folder of the replay's files in a checkpoint
_TUNES_OWN = "dict_checkpoint.pkl"  # Tune would unpickle it before it asks us


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
        place = tempfile.mkdtemp(prefix="arcadia-") if path is None else os.fspath(path)
        filesystem, root = _filesystem_of(place, kwargs.pop("filesystem", None))
        is_local = isinstance(filesystem, LocalFileSystem)
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(root if is_local else temporary)
            # The replay of what was saved here before is not that of what is saved now.
            if filesystem.get_file_info(f"{root}/{_REPLAY}").type == FileType.Directory:
                filesystem.delete_dir(f"{root}/{_REPLAY}")
            super().save_to_path(str(folder), **kwargs)
            if isinstance(self.loop, Distributed):  # its own copy, which nothing acts with
                network, _ = self.loop.learners.weights()
                self.runner.take_weights(ray.get(network))
            self._write_policy(folder)
            write_manifest(folder, without=(_REPLAY,))  # which lists its own files
            if self.options.save_replay != "none" if replay is None else replay:
                self.save_replays(folder / _REPLAY)
            if not is_local:
                copy_files(temporary, root, destination_filesystem=filesystem)
        return place

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
            UserError: There is no checkpoint of DQN, or one of another game, or its files are not
                as they were written.
        """
        path = os.fspath(path)
        if component is not None:  # whose own folder is named, somewhere in a checkpoint
            with _on_disk(path, filesystem, is_part=True) as (folder, part):
                _check_files(folder, path, part)
                super().restore_from_path(str(folder / part), component=component, **kwargs)
            return
        with _on_disk(path, filesystem) as (folder, _):
            self._check_checkpoint(str(folder), path)
            _check_files(folder, path)
            self.loop.settle()
            super().restore_from_path(str(folder), **kwargs)
            if (folder / _REPLAY).is_dir():
                self.restore_replays(folder / _REPLAY)

    @classmethod
    def from_checkpoint(
        cls, path: Any, filesystem: FileSystem | None = None, **kwargs: Any
    ) -> Self:
        """Makes an algorithm of what `save_to_path` saved, with the config it had.

        The config is kept in a pickle and may name any class, such as a callback's: reading it can
        run code. It is read from a folder only that is as it was written, which tells accidents and
        swapped files, not whoever may write in the folder itself.

        Args:
            path: A folder or an address, or a Checkpoint of Ray's.
            filesystem: Where `path` is, unless the path says it.
            **kwargs: RLlib's.

        Raises:
            UserError: As `restore_from_path`.
        """
        if hasattr(path, "to_directory"):
            path, filesystem = path.path, path.filesystem
        with _on_disk(os.fspath(path), filesystem) as (folder, _):
            if not (folder / POLICY_FILE).is_file():
                raise UserError(f"{path}: holds no policy of Arcadia's ({POLICY_FILE} is missing)")
            _check_files(folder, os.fspath(path))
            made: Any = super().from_checkpoint(str(folder), **kwargs)
            return made

    def restore(self, checkpoint_path: Any) -> None:
        """Tune's way to `restore_from_path`.

        Raises:
            UserError: As there; and the checkpoint is of one of Tune's kinds that hold more
                pickles.
        """
        checkpoint = getattr(checkpoint_path, "checkpoint", checkpoint_path)
        path = os.fspath(getattr(checkpoint, "path", checkpoint))
        source, root = _filesystem_of(path, getattr(checkpoint, "filesystem", None))
        if source.get_file_info(f"{root}/{_TUNES_OWN}").type != FileType.NotFound:
            raise UserError(f"{path}: {_TUNES_OWN} is nothing that Arcadia writes; remove it")
        super().restore(checkpoint_path)

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


def _check_files(folder: Path, path: str, part: str = "") -> None:
    """Refuses a checkpoint whose files are not those that were written, before one is unpickled.

    Args:
        folder: The checkpoint.
        path: What errors call it.
        part: The folder in it that will be read; empty: all.
    """
    check_manifest(folder, path, below=part, without=(_REPLAY,))
    check_plain(folder / part, path)


@contextlib.contextmanager
def _on_disk(
    path: str, filesystem: FileSystem | None, *, is_part: bool = False
) -> Iterator[tuple[Path, str]]:
    """A checkpoint as a local folder, and the part of it that `path` leads to: empty, or, of a
    path that may lead to a part, that folder's name in the nearest one above that has a list."""
    source, root = _filesystem_of(path, filesystem)
    place = PurePosixPath(root)
    for above in (place, *place.parents) if is_part else ():
        if source.get_file_info(str(above / MANIFEST)).type == FileType.File:
            place = above
            break
    inside = PurePosixPath(root).relative_to(place)
    part = inside.as_posix() if inside.parts else ""
    if isinstance(source, LocalFileSystem):
        yield Path(place), part
        return
    with tempfile.TemporaryDirectory(prefix="arcadia-") as folder:
        copy_files(str(place), folder, source_filesystem=source)
        yield Path(folder), part


def _filesystem_of(path: str, filesystem: FileSystem | None) -> tuple[FileSystem, str]:
    """A file system and the path in it, of a path in `filesystem`, or else a path or address."""
    if filesystem is not None:
        return filesystem, path
    if "://" not in path:
        return LocalFileSystem(), os.path.abspath(path)
    return FileSystem.from_uri(path)
