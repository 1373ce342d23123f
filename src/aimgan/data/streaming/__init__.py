"""Images that are too many for memory: read from shards as training asks for them, in an order that needs no state."""

from aimgan.data.streaming.stream import Stream

__all__ = ["Stream"]
