"""Sweeps for `arcadia tune FILE`: each file's `sweep()` returns a search space and a TuneConfig."""
