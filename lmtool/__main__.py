"""`lmtool` and `python -m lmtool`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line. `--version` is answered before anything is imported."""
    if sys.argv[1:] in (["--version"], ["-V"]):
        from lmtool import __version__

        print(f"lmtool {__version__}")
        return
    from lmtool.cli.main import app

    app(prog_name="lmtool")


if __name__ == "__main__":
    main()
