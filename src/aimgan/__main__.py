"""`python -m aimgan` is `aimgan`."""

from aimgan.signals import end_by_signals, ignore_signals


def main() -> None:
    """Run a command, and end it in one line on a signal, also while modules are imported."""
    end_by_signals()
    try:
        from aimgan.cli import main as run

        run()
    finally:
        ignore_signals()


if __name__ == "__main__":
    main()
