"""The command `ddbench`, and `python -m ddbench`."""

from __future__ import annotations

import sys

from ddbench.api.errors import STOPPED, STOPPED_CODE


def main() -> None:
    """Entry point. Ctrl-C is a sentence from here on, while the command line is imported too."""
    try:
        from ddbench.cli import main as run

        run()
    except KeyboardInterrupt:
        sys.stderr.write(f"{STOPPED}\n")
        sys.exit(STOPPED_CODE)


if __name__ == "__main__":
    main()
