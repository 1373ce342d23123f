"""`python -m aimgan` is `aimgan`."""

from aimgan.cli import main

if __name__ == "__main__":
    main()
