"""`lmtool` and `python -m lmtool`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line."""
    from lmtool.cli.exits import exit_codes, prepare_streams

    prepare_streams()
    with exit_codes():
        if not answered_early(sys.argv[1:]):
            from lmtool.cli.main import app

            app(prog_name="lmtool")


def answered_early(arguments: list[str]) -> bool:
    """Answer what needs no command line: Typer parses even a flag with pydantic, which takes 200 ms to import."""
    match arguments:
        case ["--version" | "-V"]:
            from lmtool import __version__

            print(f"lmtool {__version__}")
        case ["plugins", "list", *options] if set(options) <= {"--json", "--refresh"}:
            from lmtool.plugins import listing

            listing.show(as_json="--json" in options, refresh="--refresh" in options)
        case _:
            return False
    return True


if __name__ == "__main__":
    main()
