"""How long the commands that should be instant take, as ratios to `python -c "import typer"` in the same run.

    python benchmarks/startup.py [--rounds 20]

Each round runs every command once, in turn, so that a noisy machine disturbs all alike; medians are printed. A made-up
plugin that imports JAX at its top level is installed (in a temporary folder) for the second half.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BASELINE = "import typer"
COMMANDS = {
    BASELINE: ["-c", "import typer"],
    "lmtool --version": ["-m", "lmtool", "--version"],
    "lmtool --help": ["-m", "lmtool", "--help"],
    "lmtool plugins list": ["-m", "lmtool", "plugins", "list"],
}


def seconds(arguments: list[str], environment: dict[str, str]) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], env=environment, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def measure(rounds: int, environment: dict[str, str]) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for round_ in range(rounds + 1):
        for name, arguments in COMMANDS.items():
            elapsed = seconds(arguments, environment)
            if round_:  # the first warms the caches, the plugin index among them
                times[name].append(elapsed)
    return times


def report(title: str, times: dict[str, list[float]]) -> None:
    print(title)
    baseline = times[BASELINE]
    for name, values in times.items():
        ratio = statistics.median(value / base for value, base in zip(values, baseline, strict=True))
        print(f"  {name:22s} {1000 * statistics.median(values):6.1f} ms   {ratio:4.2f} ×")


def install_heavy_plugin(folder: Path) -> None:
    (folder / "heavy_plugin.py").write_text("import jax\n")
    info = folder / "heavy_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: heavy-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[lmtool]\nheavy = heavy_plugin\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"LMTOOL_CACHE": str(Path(folder) / "cache")}
        report("built-in plugins only", measure(rounds, environment))
        install_heavy_plugin(Path(folder))
        environment["PYTHONPATH"] = folder
        report("with a plugin that imports JAX at its top level", measure(rounds, environment))


if __name__ == "__main__":
    main()
