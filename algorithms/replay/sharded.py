"""A replay in Ray actors, as whoever drives the run sees it: handles, counters, references.

Nothing here ever holds a frame but while a shard on another machine is saved, a piece at a time.
"""

from __future__ import annotations

import json
import logging
import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import ray
from ray.exceptions import RayActorError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from algorithms.replay.reshard import reshard
from algorithms.replay.shard import ReplayShard, ShardStatus, pieces_of
from algorithms.replay.shard_files import INDEX_NAME
from arcadia.errors import UserError

logger = logging.getLogger(__name__)

SHARDS_NAME = "shards.json"
"""Beside the folders of the shards; written last."""


_NOTHING = ShardStatus(
    origin=-1,
    number=0,
    num_transitions=0,
    has_evicted=False,
    mass=0.0,
    priority_min=math.inf,
    priority_max=0.0,
    num_bytes=0,
)


@dataclass(eq=False)
class Draw:
    """Batches on their way."""

    parts: list[list[ray.ObjectRef]] = field(default_factory=list)
    """For each of those who learn, references to its `Batch`es, one of each shard drawn from."""
    waiting: set[ray.ObjectRef] = field(default_factory=set)
    """References that are still to become ready."""
    is_lost: bool = False
    """Whether a shard died over it."""

    @property
    def is_ready(self) -> bool:
        """Whether all batches are there, or lost."""
        return not self.waiting


class ShardedReplay:
    """Shards that together draw as one replay does; see `algorithms.replay.shard`.

    A shard that is killed starts again, empty: the others are drawn from until it holds something.

    Args:
        num_shards: Actors, spread over the machines of the cluster.
        arguments: Of `make_replay`, without `rng`; `capacity` and `max_bytes` are the whole
            replay's.
        num_streams: Streams that send to it.
        seed: Of all draws; None: no two runs are alike.
        num_cpus: Of each shard.
        rng: Draws how many transitions each shard gives.

    Attributes:
        shards: Their handles.
        statuses: What was last heard of each.
        num_restarts: How often a shard was lost.
        num_lost: Transitions that were in them.
    """

    def __init__(
        self,
        num_shards: int,
        arguments: dict[str, Any],
        *,
        num_streams: int,
        seed: int | None,
        num_cpus: float,
        rng: np.random.Generator,
    ) -> None:
        self.num_streams = num_streams
        self.num_restarts = self.num_lost = 0
        self._rng = rng
        max_bytes = arguments.get("max_bytes")
        own = arguments | {
            "capacity": math.ceil(arguments["capacity"] / num_shards),
            "max_bytes": None if max_bytes is None else max_bytes // num_shards,
        }
        placed: dict[str, Any] = {}
        if ray.util.get_current_placement_group() is None:  # Tune has places of its own
            placed["scheduling_strategy"] = "SPREAD"
        actor: Any = ray.remote(num_cpus=num_cpus, max_restarts=-1)(ReplayShard)
        remote = actor.options(**placed)
        self.shards: list[Any] = [
            remote.remote(own, None if seed is None else [seed, 2, i]) for i in range(num_shards)
        ]
        self.statuses: list[ShardStatus] = ray.get([s.status.remote() for s in self.shards])
        self._dead: set[int] = set()  # origins of shards that died, of which answers may come late
        self._asked: set[int] = set()  # shards that a sign of life is awaited of
        self._pending: dict[ray.ObjectRef, tuple[int, Draw | None]] = {}

    def __len__(self) -> int:
        """Held records that have an action, as far as was heard."""
        return sum(status.num_transitions for status in self.statuses)

    @property
    def nbytes(self) -> int:
        """Bytes held in all shards."""
        return sum(status.num_bytes for status in self.statuses)

    @property
    def has_evicted(self) -> bool:
        """Whether a shard is full, so that old records leave."""
        return any(status.has_evicted for status in self.statuses)

    @property
    def can_draw(self) -> bool:
        """Whether there is anything to draw."""
        return any(status.mass > 0 for status in self.statuses)

    def draw(self, batch_sizes: Sequence[int], importance_exponent: float) -> Draw:
        """Asks the shards for transitions, each for a share in proportion to its mass.

        Args:
            batch_sizes: Transitions for each of those who learn.
            importance_exponent: Of their weights where they are drawn by priority.
        """
        mass = np.array([status.mass for status in self.statuses])
        drawn = Draw()
        for batch_size in batch_sizes:
            counts = self._rng.multinomial(batch_size, mass / mass.sum())
            batches = []
            for i in np.flatnonzero(counts).tolist():
                sample = self.shards[i].sample.options(num_returns=2)
                batch, status = sample.remote(
                    int(counts[i]),
                    importance_exponent=importance_exponent,
                    priority_min=min(s.priority_min for s in self.statuses),
                    priority_max=max(s.priority_max for s in self.statuses),
                )
                self._pending[status] = i, drawn
                drawn.waiting.add(status)
                batches.append(batch)
            drawn.parts.append(batches)
        return drawn

    def update_priorities(self, origin: np.ndarray, ids: np.ndarray, errors: np.ndarray) -> None:
        """Sends back how wrong values were; see `ReplayShard.update_priorities`.

        Args:
            origin: `(B,)` int64; rows of a shard that has started again since are left out.
            ids: `(B,)` int64.
            errors: `(B,)` float32.
        """
        for i, status in enumerate(self.statuses):
            own = origin == status.origin
            if own.any():
                ref = self.shards[i].update_priorities.remote(status.origin, ids[own], errors[own])
                self._pending[ref] = i, None

    def hear(self) -> None:
        """Takes up the answers that have come, and notices shards that were lost."""
        if not self._pending:
            return
        pending = list(self._pending)
        ready, _ = ray.wait(pending, num_returns=len(pending), timeout=0)
        for ref in ready:
            i, drawn = self._pending.pop(ref)
            try:
                status: ShardStatus = ray.get(ref)
            except RayActorError:
                self._asked.discard(i)
                self.lose(i)
                status = _NOTHING
            else:
                self.note(i, status)
            if drawn is not None:
                drawn.waiting.discard(ref)
                drawn.is_lost |= status.mass == 0  # it is dead, or began again with nothing

    def settle(self) -> None:
        """Waits for all answers, and asks each shard how it is."""
        for i, shard in enumerate(self.shards):
            self._pending[shard.status.remote()] = i, None
        while self._pending:
            ray.wait(list(self._pending), num_returns=1)
            self.hear()

    def note(self, i: int, status: ShardStatus) -> None:
        """Takes up what was heard of a shard, unless it has died since."""
        known = self.statuses[i]
        late = status.origin == known.origin and status.number < known.number
        if late or status.origin in self._dead:
            return
        if known.origin != status.origin:
            self.lose(i, ask=False)
        self._asked.discard(i)
        self.statuses[i] = status

    def lose(self, i: int, *, ask: bool = True) -> None:
        """A shard died: nothing is drawn from it until it is heard of again.

        Args:
            i: Which.
            ask: Whether to ask it for a sign of life.
        """
        lost = self.statuses[i]
        if lost.origin >= 0:
            self._dead.add(lost.origin)
            self.num_restarts += 1
            self.num_lost += lost.num_transitions
            self.statuses[i] = _NOTHING
            logger.warning(
                "Replay shard %d of %d died: its %s transitions are lost; an empty one takes its "
                "place",
                i + 1,
                len(self.shards),
                f"{lost.num_transitions:,}",
            )
        if ask and i not in self._asked:
            self._asked.add(i)
            self._pending[self.shards[i].status.remote()] = i, None

    # Files

    def save(self, folder: Path) -> None:
        """Writes each shard into a folder of its own.

        Raises:
            OSError: The disk is full.
        """
        while True:
            try:
                self._save(folder)
                return
            except RayActorError:  # it died over it; what is left is saved
                shutil.rmtree(folder)
                self.settle()

    def _save(self, folder: Path) -> None:
        here = ray.get_runtime_context().get_node_id()
        places = ray.get([shard.place.remote() for shard in self.shards])
        writing = []
        for i, (shard, (node, _)) in enumerate(zip(self.shards, places, strict=True)):
            own = _folder_of(folder, i)
            if node == here:
                writing.append(shard.save.remote(str(own)))
                continue
            own.mkdir(parents=True)
            for ref in shard.read_pieces.options(num_returns="streaming").remote():
                name, piece = ray.get(ref)
                with open(own / name, "ab") as file:
                    file.write(piece)
        get_all(writing)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / SHARDS_NAME).write_text(json.dumps({"num_shards": len(self.shards)}))

    def restore(self, folder: Path) -> None:
        """Takes up what was saved, of any number of shards, or of a replay in one process.

        Raises:
            UserError: As `FrameReplay.restore`.
        """
        folders = saved_folders(folder)
        if len(folders) != len(self.shards) or folders == [folder]:
            here = ray.get_runtime_context().get_node_id()
            near = NodeAffinitySchedulingStrategy(here, soft=False)
            task: Any = ray.remote(num_cpus=0)(_move)
            move = task.options(scheduling_strategy=near)
            paths = [str(path) for path in folders]
            get_all([move.remote(paths, self.shards, self.num_streams)])
        else:
            self._restore_each(folders)
        self.statuses = get_all([shard.status.remote() for shard in self.shards])
        self._pending.clear()

    def _restore_each(self, folders: Sequence[Path]) -> None:
        here = ray.get_runtime_context().get_node_id()
        places = ray.get([shard.place.remote() for shard in self.shards])
        reading = []
        for shard, (node, _), own in zip(self.shards, places, folders, strict=True):
            if node == here:
                reading.append(shard.restore.remote(str(own)))
                continue
            for name, piece in pieces_of(own):
                ray.get(shard.write_piece.remote(name, piece))
            reading.append(shard.restore_pieces.remote())
        get_all(reading)

    def stop(self) -> None:
        """Ends the shards."""
        for shard in self.shards:
            ray.kill(shard)


def saved_folders(folder: Path) -> list[Path]:
    """Folders of the shards saved in a folder; it alone where it holds a replay of one process.

    Raises:
        UserError: Shards were being saved when it was interrupted.
    """
    if (folder / INDEX_NAME).exists() or not _folder_of(folder, 0).exists():
        return [folder]
    try:
        number = json.loads((folder / SHARDS_NAME).read_bytes())["num_shards"]
    except FileNotFoundError:
        raise UserError(
            f"{folder}: its saving was interrupted ({SHARDS_NAME} is missing); use another "
            "checkpoint"
        ) from None
    return [_folder_of(folder, i) for i in range(number)]


def _folder_of(folder: Path, i: int) -> Path:
    return folder / f"shard-{i:05d}"


def _move(folders: list[str], shards: list[Any], num_streams: int) -> None:
    """Fills new shards with the records of old ones; a Ray task where the files are."""
    ray.get([shard.clear.remote() for shard in shards])
    adding: dict[ray.ObjectRef, None] = {}
    for move in reshard(folders, num_streams=num_streams, num_shards=len(shards)):
        adding[shards[move.shard].add.remote(move.fragment, move.priorities)] = None
        if len(adding) > 2 * len(shards):  # no more on their way than they can take
            (done,), _ = ray.wait(list(adding), num_returns=1)
            ray.get(done)
            del adding[done]
    ray.get(list(adding))


def get_all(refs: list[ray.ObjectRef]) -> list[Any]:
    """Results of actors; what they said of a user's mistake or a disk, as they said it."""
    try:
        return ray.get(refs)
    except RayTaskError as error:
        if isinstance(error.cause, UserError | OSError):
            raise error.cause from None
        raise
