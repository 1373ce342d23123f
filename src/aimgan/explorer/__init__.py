"""The explorer: a page in the browser that shows what a trained model infers and generates (docs/explorer.md)."""

from aimgan.explorer.serve import explore

__all__ = ["explore"]
