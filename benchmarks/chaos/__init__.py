"""Jobs whose processes are killed, and what comes of them; `python -m benchmarks.chaos --help`."""

from benchmarks.chaos.kinds import KINDS, torment
from benchmarks.chaos.ordeal import Ordeal, Outcome

__all__ = ["KINDS", "Ordeal", "Outcome", "torment"]
