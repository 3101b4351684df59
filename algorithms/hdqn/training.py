"""A training run of h-DQN: DQN's, with what became of the goals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table

from algorithms.dqn.training import Training
from algorithms.hdqn.options import META
from algorithms.hdqn.pages import draw_goals
from arcadia.telemetry import read_scalars

if TYPE_CHECKING:
    from algorithms.hdqn.algorithm import HDQN

_META = ("loss", "td_error_abs", "q", "lr", "grad_norm", "updates_per_s")


class HDQNTraining(Training):
    """A run under way; see `Training`.

    What TensorBoard calls `learner/...` is the controller's, `meta/...` the meta-controller's; of a
    goal, `goal/NAME/...`, `tried` and `reached` count from the start of training, `success_rate` is
    of its latest hundred tries, and `chosen` is its share (0 to 1) of the tries that ended since
    the last point.
    """

    algo: HDQN

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._goals = self.algo.goals()

    def _config(self) -> dict[str, Any]:
        return super()._config() | {"goals": list(self.algo.goals())}

    @property
    def _phase(self) -> int:
        return 1 if self.algo.num_env_steps < self.algo.options.phase1_steps else 2

    def scalars(self, result: dict[str, Any]) -> dict[str, float | None]:
        """DQN's, of the controller; the meta-controller's, and of every goal."""
        before, self._goals = self._goals, result["goals"]
        tried = {name: own["tried"] - before[name]["tried"] for name, own in self._goals.items()}
        ended = sum(tried.values())
        goals = {
            f"goal/{name}/{key}": value
            for name, own in self._goals.items()
            for key, value in (own | {"chosen": tried[name] / ended if ended else None}).items()
        }
        learner = {name: result["learners"][META].get(name) for name in _META}
        return {
            **super().scalars(result),
            **{f"meta/{name}": value for name, value in learner.items()},
            "meta/epsilon": result["env_runners"]["meta_epsilon"],
            "meta/phase": self._phase,
            **goals,
        }

    def fields(self) -> dict[str, str | float]:
        """The phase; in the second, how much chance there is in the goals; and DQN's."""
        shown: dict[str, str | float] = {"phase": str(self._phase)}
        if self._phase == 2 and "meta/epsilon" in self._scalars:
            shown["meta-eps"] = f"{self._scalars['meta/epsilon']:.2f}"
        return shown | super().fields()

    def table(self) -> RenderableType:
        """The goals: how often each was tried and reached, and how much chance is left for it."""
        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        table.add_column("goal")
        for name in ("tried", "reached", "latest 100"):
            table.add_column(name, justify="right")
        table.add_column()
        table.add_column("epsilon", justify="right")
        for name, own in self._goals.items():
            rate = own["success_rate"]
            table.add_row(
                name,
                f"{own['tried']:,}",
                f"{own['reached']:,}",
                f"{rate:.0%}" if own["tried"] else "-",
                ProgressBar(total=1.0, completed=rate, width=16, complete_style="green"),
                f"{own['epsilon']:.2f}",
            )
        return table

    def finish(self, *, stopped: bool = False) -> None:
        """DQN's, and the figure of goals."""
        super().finish(stopped=stopped)
        draw_goals(self.run, read_scalars(self.run))

    def result(self) -> dict[str, Any]:
        """DQN's, and `goals`: by name, `tried`, `reached`, `success_rate` and `epsilon`."""
        return super().result() | {"goals": self._goals}
