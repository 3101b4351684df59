"""What every worker of a training does: learns from its share of a step's examples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from arcadia.crew import Crew
from arcadia.runs import RunFolder
from arcadia.training_loop import Done, TrainingLoop
from pipelines.sequences.checkpoints import load_state, save_state
from pipelines.sequences.learner import Learner
from pipelines.sequences.task import Carry, Task


class Training(TrainingLoop[Done]):
    """A worker's part of a training.

    Args:
        run: the run, which all workers can reach.
        task: what is learnt, and how: its options.
        learner: this worker's.
        crew: itself among the others, whose number divides the batch.
        board: where the first one tells how far it is; None: nowhere.
        on_validation: called by the first one with the steps that are done and what came out.
    """

    def __init__(
        self,
        run: RunFolder,
        task: Task,
        learner: Learner,
        *,
        crew: Crew,
        board: Any = None,
        on_validation: Callable[[int, dict[str, float]], None] = lambda step, figures: None,
    ):
        self._task, self._learner = task, learner
        self.judged_by = self.judged_label = task.metrics[0]
        done = Done()
        if run.checkpoints():
            done, carry = load_state(run.find_checkpoint()[0], learner)
            learner.carry = tuple(crew.share(part).to(learner.device) for part in carry) or None
        self._carry: Carry = ()
        periods: Any = task.options  # whose defaults the task has filled in
        super().__init__(
            run, periods, crew=crew, done=done, board=board, on_validation=on_validation
        )

    def _step(self) -> Mapping[str, Tensor]:
        step = self._done.step
        batch = self._task.training_batch(step)
        own = {name: self._crew.share(value) for name, value in batch.items()}
        return self._learner.step(step, own)

    def _figures(self) -> Mapping[str, float]:
        annealing = self._learner.annealing
        return {} if annealing is None else {"noise_c": annealing.c}

    def _judge(self) -> dict[str, float]:
        # All workers judge the same: shares of a small batch might be empty.
        return self._task.figures(self._learner.totals(self._task.batches("validation")))

    def _before_judging(self) -> None:
        """All workers' memories, of which the first one makes the checkpoint."""
        self._carry = tuple(self._crew.rows(part) for part in self._learner.carry or ())

    def _write(self, folder: Path) -> None:
        save_state(folder, self._learner, self._carry, self._done)


def train_worker(settings: dict[str, Any]) -> None:
    """What Ray Train starts in each worker.

    Args:
        settings: the address of the "run"; "options", `SequenceOptions` as plain values; "seed",
            "data", "num_cpus", "board".
    """
    import ray.train

    from arcadia.ray_train import worker_device
    from pipelines.sequences.config import options_from
    from pipelines.sequences.tasks import task_of

    context, options = ray.train.get_context(), options_from(settings["options"])
    crew = Crew(worker=context.get_world_rank(), num_workers=context.get_world_size())
    device = worker_device()
    if device.type == "cpu":
        torch.set_num_threads(settings["num_cpus"])
    task = task_of(options, settings["seed"], settings["data"])
    learner = Learner(
        task,
        device=device,
        seed=settings["seed"],
        worker=crew.worker,
        num_workers=crew.num_workers,
    )
    Training(
        RunFolder.open(settings["run"]),
        task,
        learner,
        crew=crew,
        board=settings["board"],
    ).carry_on()
