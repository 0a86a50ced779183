"""Run the benches and compare them with what is promised: `make bench`.

Each `bench_*.py` here has `measure(rounds)`, which gives figures by name, `PROMISES` (at least)
and `MOST` (at most). Ratios are to plain trio in the same run; absolute figures move with the
machine. Writes a table, results as JSON and a plot into `bench-results/`.
"""

from __future__ import annotations

import argparse
import importlib
import json
import logging
import sys
from pathlib import Path

HERE = Path(__file__).parent


def judged(value: float, least: float | None, most: float | None) -> bool:
    """Whether a figure keeps its promise."""
    return (least is None or value >= least) and (most is None or value <= most)


def table(rows: list[tuple[str, float, float | None, float | None]]) -> str:
    """The figures beside their promises."""
    lines = [f"{'':34} {'measured':>9} {'promised':>10}"]
    for name, value, least, most in rows:
        promise = f">= {least:g}" if least is not None else f"<= {most:g}" if most is not None else ""
        mark = "" if judged(value, least, most) else "  <-- not kept"
        lines.append(f"{name:34} {value:9.2f} {promise:>10}{mark}")
    return "\n".join(lines)


def plot(rows: list[tuple[str, float, float | None, float | None]], path: Path) -> None:
    """Draw each figure as a part of its promise; 1.0 keeps it."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    names, parts = [], []
    for name, value, least, most in rows:
        if least is not None:
            names.append(name)
            parts.append(value / least)
        elif most is not None:
            names.append(name)
            parts.append(most / value if value else 1.0)
    figure, axes = plt.subplots(figsize=(8, 0.45 * len(names) + 1.2))
    axes.barh(names[::-1], parts[::-1], color=["#3b7dd8" if part >= 1 else "#c8502d" for part in parts[::-1]])
    axes.axvline(1.0, color="black", linewidth=1)
    axes.set_xlabel("measured / promised (1.0 keeps the promise)")
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def main() -> int:
    """Measure, print, write; the exit status says whether every promise is kept."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", 1)[0])
    parser.add_argument("benches", nargs="*", help="names such as 'route'; all by default")
    parser.add_argument(
        "--rounds", type=int, default=5, help="rounds, of which the median counts (default 5)"
    )
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)
    sys.path.insert(0, str(HERE.parent))
    names = arguments.benches or sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py"))
    rows: list[tuple[str, float, float | None, float | None]] = []
    for name in names:
        bench = importlib.import_module(f"benchmarks.bench_{name}")
        least, most = getattr(bench, "PROMISES", {}), getattr(bench, "MOST", {})
        for figure, value in bench.measure(arguments.rounds).items():
            rows.append((figure, value, least.get(figure), most.get(figure)))
            print(f"  {figure}: {value:.2f}", flush=True)
    print(f"\n{table(rows)}")
    results = HERE.parent.parent / "bench-results"
    results.mkdir(exist_ok=True)
    (results / "results.json").write_text(json.dumps({name: value for name, value, *_ in rows}, indent=2))
    plot(rows, results / "results.png")
    print(f"\nwritten to {results.name}/results.json and results.png")
    return 0 if all(judged(*row[1:]) for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
