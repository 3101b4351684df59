"""Arcadia: agents that play and models that paint, on Ray."""

__version__ = "0.1.0"
