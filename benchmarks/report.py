"""Format the figures of `benchmarks.measure` as tables and plots for docs/performance.md."""

import os
import platform
import statistics
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from pathlib import Path

from matplotlib import pyplot as plt

from benchmarks.measure import Samples
from benchmarks.static_platform import ROUND_TRIP_SECONDS
from infra.bundle import ROOT

PAGE = ROOT / "docs" / "performance.md"
MB = 1_000_000


@dataclass(frozen=True)
class Goal:
    """A goal and its result; `value` is a ratio or a figure and must not exceed `limit`."""

    measurement: str
    ours: str
    peer: str
    value: float
    limit: float

    @property
    def is_met(self) -> bool:
        """Whether the goal is met."""
        return self.value <= self.limit


def evaluate_goals(figures: dict[str, Any]) -> list[Goal]:
    """Compare the figures with all goals."""
    goals = []
    cold = {name: samples["response"] for name, samples in figures["cold"].items()}
    for peer, limit in (("naive", 0.35), ("floor", 1.15)):
        goals.append(_compare(f"cold start, ours / {peer}", cold["ours"], cold[peer], limit))
    for certificates in (2, 50):
        warm = figures[f"warm_{certificates}"]
        for time in ("wall", "cpu"):
            for peer, limit in (("naive", 0.30), ("floor", 1.5)):
                # The floor writes no logs, metrics and traces. Their CPU time does not depend on the list.
                if (certificates, time, peer) == (2, "cpu", "floor"):
                    continue
                label = {"wall": "wall time", "cpu": "CPU time"}[time]
                measurement = f"warm request, {certificates} certificates, {label}, ours / {peer}"
                goals.append(_compare(measurement, warm["ours"][time], warm[peer][time], limit))
    visits = figures["visit"]
    warm = visits["warm"]
    two = "ours, two requests"
    goals.append(_compare("first visit, warm, one request / two requests", warm["ours"], warm[two], 0.78))
    call = statistics.median(warm["ours, list only"]) - ROUND_TRIP_SECONDS * 1000
    for state in ("cold", "idle"):
        login_and_call = [milliseconds + call for milliseconds in visits[state]["ours, login only"]]
        measurement = f"first visit, {state}, one request / login + one call"
        goals.append(_compare(measurement, visits[state]["ours"], login_and_call, 1.05))
    delayed = figures["latency_50"]["ours"]["200"]
    counts = figures["counts"]
    bundle_mb = figures["bundles"]["ours"] / MB
    share = statistics.median(delayed) / 50
    goals += [
        Goal("200 certificates, time / platform's response time (50 ms)", _format_samples(delayed), "", share, 2.3),
        Goal("new connections to the platform in 100 warm requests", "", "", counts["connections"], 3),
        Goal("AWS calls in 100 warm requests", "", "", counts["aws"], 0),
        Goal("size of the unpacked bundle, MB", "", "", bundle_mb, 12),
    ]
    return goals


def format_report(figures: dict[str, Any]) -> str:
    """Format the generated section of the page as Markdown."""
    lines = [
        f"Python {platform.python_version()}, {os.cpu_count()} CPUs, {platform.system()} {platform.machine()}.",
        "Times are minimum–median–maximum in milliseconds.",
        "",
        "| measurement | ours | peer | ratio or value | goal | result |",
        "|---|---|---|---:|---:|---|",
    ]
    for goal in evaluate_goals(figures):
        result = "met" if goal.is_met else "**missed**"
        lines.append(
            f"| {goal.measurement} | {goal.ours} | {goal.peer} | {goal.value:.2f} | ≤ {goal.limit:g} | {result} |"
        )
    lines += ["", "Figures without a goal:", "", "| | ours | naive | floor |", "|---|---|---|---|"]
    names = ("ours", "naive", "floor")
    cold, bundles = figures["cold"], figures["bundles"]
    rows: dict[str, dict[str, str]] = {
        "cold start, init phase, ms": {name: _format_samples(cold[name]["ready"]) for name in names},
        "cold start, first request, ms": {name: _format_samples(_first_request(cold[name])) for name in names},
        "warm request, 2 certificates, CPU time, ms": {n: _format_samples(figures["warm_2"][n]["cpu"]) for n in names},
        "size of the unpacked bundle, MB": {name: f"{bundles[name] / MB:.1f}" for name in names},
    }
    visits = figures["visit"]
    for state in visits:
        rows[f"first visit, {state}, tap to list, ms"] = {n: _format_samples(visits[state][n]) for n in names}
    lines += [f"| {label} | {' | '.join(row.get(name, '') for name in names)} |" for label, row in rows.items()]
    return "\n".join(lines)


def write_section(path: Path, name: str, text: str) -> None:
    """Replace the section between the comments `<!-- name:begin -->` and `<!-- name:end -->`.

    Raises ValueError if a comment is missing.
    """
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    page = path.read_text(encoding="utf-8")
    start, stop = page.index(begin) + len(begin), page.index(end)
    path.write_text(f"{page[:start]}\n\n{text}\n\n{page[stop:]}", encoding="utf-8")


def draw_latency(figures: dict[str, Any], path: Path) -> None:
    """Draw latency by number of certificates, for a platform that responds after 0 and after 50 ms."""
    figure, all_axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    for axes, delay in zip(all_axes, (0, 50), strict=True):
        # "ours" is drawn last and thinner, because it is often as fast as "floor".
        for name, color, width in (("naive", "#b0413e", 1.5), ("floor", "#a0aec0", 6), ("ours", "#2b6cb0", 1.5)):
            latency = figures[f"latency_{delay}"][name]
            medians = {int(n): statistics.median(samples) for n, samples in latency.items()}
            axes.plot(list(medians), list(medians.values()), marker="o", color=color, linewidth=width, label=name)
        axes.set(title=f"platform responds after {delay} ms", xlabel="certificates", ylim=(0, None))
        axes.grid(alpha=0.3)
    all_axes[0].set_ylabel("median latency, ms")
    all_axes[0].legend()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _compare(measurement: str, ours: list[float], peer: list[float], limit: float) -> Goal:
    ratio = statistics.median(ours) / statistics.median(peer)
    return Goal(measurement, _format_samples(ours), _format_samples(peer), ratio, limit)


def _first_request(cold: Samples) -> list[float]:
    return [response - ready for response, ready in zip(cold["response"], cold["ready"], strict=True)]


def _format_samples(samples: list[float]) -> str:
    median = statistics.median(samples)
    digits = 0 if median >= 20 else 1
    return "–".join(f"{value:.{digits}f}" for value in (min(samples), median, max(samples)))
