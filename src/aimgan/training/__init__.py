"""The engine, its loop, its checkpoints, and the folder of a run."""
