"""Pictures of scenes, prepared for training: Parquet shards with their classes."""

from pipelines.places.config import PrepareOptions
from pipelines.places.prepared import ClassInfo, PreparedData, RowGroup

__all__ = ["ClassInfo", "PrepareOptions", "PreparedData", "RowGroup"]
