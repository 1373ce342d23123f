"""Sharing of models: the Hub, and exports to other formats."""
