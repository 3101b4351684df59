"""A replay in Ray actors, as whoever drives the run sees it: handles, counters, references.

Nothing here ever holds a frame but while a shard on another machine is saved, a piece at a time.
"""

from __future__ import annotations

import json
import logging
import math
import shutil
import time
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


_PATIENCE_S = 60.0  # with a shard that is started again
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
        name: What it is called in warnings, where there are several; "" where there is one.

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
        seed: Sequence[int] | None,
        num_cpus: float,
        rng: np.random.Generator,
        name: str = "",
    ) -> None:
        self.num_streams, self._name = num_streams, f"of the {name} " if name else ""
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
            remote.remote(own, None if seed is None else [*seed, i]) for i in range(num_shards)
        ]
        self.statuses: list[ShardStatus] = ray.get([s.status.remote() for s in self.shards])
        self._dead: set[int] = set()  # origins of shards that died, of which answers may come late
        self._suspects: dict[int, ShardStatus] = {}  # shards that did not answer, as they were
        self._signs: dict[int, ray.ObjectRef] = {}  # that they are asked for
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

        A shard is asked once, however many learn.

        Args:
            batch_sizes: Transitions for each of those who learn.
            importance_exponent: Of their weights where they are drawn by priority.
        """
        mass = np.array([status.mass for status in self.statuses])
        shares = mass / mass.sum()
        counts = np.array([self._rng.multinomial(size, shares) for size in batch_sizes])
        drawn = Draw(parts=[[] for _ in batch_sizes])
        for i in np.flatnonzero(counts.any(axis=0)).tolist():
            learners = np.flatnonzero(counts[:, i]).tolist()
            sample = self.shards[i].sample.options(num_returns=len(learners) + 1)
            *batches, status = sample.remote(
                *counts[learners, i].tolist(),
                importance_exponent=importance_exponent,
                priority_min=min(s.priority_min for s in self.statuses),
                priority_max=max(s.priority_max for s in self.statuses),
            )
            self._pending[status] = i, drawn
            drawn.waiting.add(status)
            for learner, batch in zip(learners, batches, strict=True):
                drawn.parts[learner].append(batch)
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
            is_sign = ref == self._signs.get(i)
            if is_sign:
                del self._signs[i]
            try:
                status: ShardStatus = ray.get(ref)
            except RayActorError:
                self.suspect(i)
                status = _NOTHING
            else:
                self._take(i, status) if is_sign else self.note(i, status)
            if drawn is not None:
                drawn.waiting.discard(ref)
                drawn.is_lost |= status.mass == 0  # it is dead, or began again with nothing

    def note(self, i: int, status: ShardStatus) -> None:
        """Takes up what was heard of a shard, unless it is late, or the shard has died since."""
        known = self.statuses[i]
        late = status.origin == known.origin and status.number < known.number
        was = self._suspects.get(i)
        if late or status.origin in self._dead or (was and was.origin == status.origin):
            return
        self._take(i, status)

    def suspect(self, i: int) -> None:
        """A shard did not answer somebody: nothing is drawn from it until it gives a sign of life.

        That may be the end of one that others have heard the successor of, or a moment's silence:
        only the answer to a question that is asked now says which.
        """
        if i not in self._suspects:
            self._suspects[i], self.statuses[i] = self.statuses[i], _NOTHING
        if i not in self._signs:
            self._signs[i] = self.shards[i].status.remote()
            self._pending[self._signs[i]] = i, None

    def _take(self, i: int, status: ShardStatus) -> None:
        """A status is the shard's latest; if it is another incarnation's, the last one is dead."""
        known = self._suspects.pop(i, self.statuses[i])
        self.statuses[i] = status
        if known.origin == status.origin:
            return
        self._dead.add(known.origin)
        self.num_restarts += 1
        self.num_lost += known.num_transitions
        logger.warning(
            "Replay shard %d of %d %sdied: its %s transitions are lost; an empty one takes "
            "its place",
            i + 1,
            len(self.shards),
            self._name,
            f"{known.num_transitions:,}",
        )

    def settle(self) -> None:
        """Waits for all answers, and asks each shard how it is; not for ever for one that is dead
        and finds no place."""
        for i, shard in enumerate(self.shards):
            self._pending[shard.status.remote()] = i, None
        end = time.monotonic() + _PATIENCE_S
        while self._pending:
            only_dead = all(i in self._suspects for i, _ in self._pending.values())
            if only_dead and time.monotonic() > end:
                return
            ray.wait(list(self._pending), num_returns=1, timeout=1.0)
            self.hear()

    # Files

    def save(self, folder: Path) -> None:
        """Writes each living shard into a folder of its own.

        Raises:
            OSError: The disk is full.
        """
        while True:
            self.settle()
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            try:
                self._save(folder)
                return
            except RayActorError as error:  # it died over it; what is left is saved
                logger.warning("A replay shard died while it was saved (%s)", error)

    def _save(self, folder: Path) -> None:
        here = ray.get_runtime_context().get_node_id()
        living = [shard for i, shard in enumerate(self.shards) if i not in self._suspects]
        places = ray.get([shard.place.remote() for shard in living])
        writing = []
        for i, (shard, (node, _)) in enumerate(zip(living, places, strict=True)):
            own = _folder_of(folder, i)
            if node == here:
                writing.append(shard.save.remote(str(own)))
                continue
            own.mkdir()
            pieces = shard.read_pieces.options(
                num_returns="streaming", _generator_backpressure_num_objects=2
            )
            for ref in pieces.remote():
                name, piece = ray.get(ref)
                with open(own / name, "ab") as file:
                    file.write(piece)
        get_all(writing)
        (folder / SHARDS_NAME).write_text(json.dumps({"num_shards": len(living)}))

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
        self._pending.clear()
        self._suspects.clear()
        self._signs.clear()
        self.statuses = get_all([shard.status.remote() for shard in self.shards])

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
    sharded = (folder / SHARDS_NAME).exists() or _folder_of(folder, 0).exists()
    if (folder / INDEX_NAME).exists() or not sharded:
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
