"""From samples to the table, the plots and the page: pure, but for the files it writes."""

from __future__ import annotations

import os
import platform
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt

from benchmarks.capacity import memory_rows

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.measure import Samples

MB = 1_000_000


@dataclass(frozen=True)
class Row:
    """A goal and what came of it; `ratio` is compared with `goal`, less being better."""

    what: str
    ours: str
    peer: str
    ratio: float
    goal: float

    @property
    def met(self) -> bool:
        """Whether the goal is met."""
        return self.ratio <= self.goal


def rows(figures: dict[str, Any]) -> list[Row]:
    """Every goal, one row each."""
    found = []
    cold = {name: found_["answer"] for name, found_ in figures["cold"].items()}
    for peer, goal in (("naive", 0.35), ("floor", 1.15)):
        found.append(_ratio(f"cold start / {peer}", cold["ours"], cold[peer], goal))
    for certificates in (2, 50):
        warm = figures[f"warm_{certificates}"]
        for kind in ("wall", "cpu"):
            for peer, goal in (("naive", 0.30), ("floor", 1.5)):
                what = f"warm, {certificates} certificates, {kind} / {peer}"
                found.append(_ratio(what, warm["ours"][kind], warm[peer][kind], goal))
    delayed = figures["curve_50"]["ours"]["200"]
    found.append(
        Row("200 certificates, upstream at 50 ms", _spread(delayed), "50 ms", statistics.median(delayed) / 50, 2.3)
    )
    count = figures["counts"]["ours"]
    reads = sum(count["aws"].values())
    found += [
        Row("connections opened upstream in 100 warm requests", str(count["opened"]), "", count["opened"], 3),
        Row("calls of AWS in 100 warm requests", str(reads), "", reads, 0),
    ]
    size = figures["bundles"]["ours"] / MB
    found.append(Row("bundle, unpacked", f"{size:.1f} MB", "", size, 12))
    memory = figures["memory"]
    more = (memory["ours"]["peak"] - memory["floor"]["peak"]) * 1024 / MB
    grown = _grown(memory["ours"])
    found += [
        Row("peak memory over floor's", _mib(memory["ours"]["peak"]), _mib(memory["floor"]["peak"]), more, 15),
        Row("memory grown between requests 500 and 5,000", f"{grown:.1f} MB", "", grown, 1),
    ]
    each = {n: statistics.median(found_["cpu"]) / int(n) for n, found_ in figures["growth"].items()}
    found.append(
        Row(
            "own CPU a certificate, 500 / 50",
            f"{each['500'] * 1000:.0f} µs",
            f"{each['50'] * 1000:.0f} µs",
            each["500"] / each["50"],
            1,
        )
    )
    last = figures["growth"]["500"]
    found.append(
        Row(
            "answer's bytes / upstream's, 500 certificates",
            f"{last['sent']:,}",
            f"{last['received']:,}",
            last["sent"] / last["received"],
            0.25,
        )
    )
    return found


def page(figures: dict[str, Any]) -> str:
    """The generated part of the page."""
    lines = [
        _machine(),
        "",
        "| | ours | yardstick | ratio or figure | goal | |",
        "|---|---|---|---:|---:|---|",
    ]
    for row in rows(figures):
        met = "met" if row.met else "**missed**"
        lines.append(f"| {row.what} | {row.ours} | {row.peer} | {row.ratio:.2f} | ≤ {row.goal:g} | {met} |")
    lines += [
        "",
        "Milliseconds are min–median–max. Beside the goals:",
        "",
        "| ms | ours | naive | floor |",
        "|---|---|---|---|",
    ]
    for what, get in (
        ("cold start: to the end of the start", lambda name: figures["cold"][name]["ready"]),
        ("cold start: the first request alone", lambda name: _difference(figures["cold"][name])),
        ("cold start of a traced request", lambda name: figures["cold_traced"].get(name, {}).get("answer")),
    ):
        lines.append(
            f"| {what} | " + " | ".join(_spread(get(name) or []) for name in ("ours", "naive", "floor")) + " |"
        )
    sizes = " | ".join(f"{figures['bundles'][name] / MB:.1f} MB" for name in ("ours", "naive", "floor"))
    last = figures["growth"]["500"]
    packed = f"{last['packed']:,} of {last['received']:,} bytes ({last['packed'] / last['received']:.2f})"
    lines += [f"| bundle, unpacked | {sizes} |", ""]
    lines += [f"As API Gateway sends it, compressed, the answer with 500 certificates is {packed} of upstream's.", ""]
    lines += [*_imports(figures["imports"]), "", *_pure(figures["pure"]), "", *_memory(figures)]
    return "\n".join(lines)


def draw_curves(figures: dict[str, Any], path: Path) -> None:
    """Latency against the number of certificates, for an upstream at 0 and at 50 ms."""
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    for axis, key, title in zip(axes, ("curve_0", "curve_50"), ("upstream at 0 ms", "upstream at 50 ms"), strict=True):
        for name, colour in (("naive", "#b0413e"), ("ours", "#2b6cb0"), ("floor", "#718096")):
            points = {int(n): statistics.median(samples) for n, samples in figures[key][name].items()}
            axis.plot(list(points), list(points.values()), marker="o", color=colour, label=name)
        axis.set(title=title, xlabel="certificates", ylim=(0, None))
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("ms, median")
    axes[0].legend()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def draw_waterfall(modules: list[dict[str, Any]], path: Path, least_ms: float = 6.0) -> None:
    """What is imported when: a bar a module, those below `least_ms` left out."""
    shown = sorted((m for m in modules if m["ms"] >= least_ms), key=lambda m: (m["start"], m["depth"]))
    figure, axis = plt.subplots(figsize=(9, 0.19 * len(shown) + 0.9), layout="constrained")
    colours = {"chalicelib": "#2b6cb0", "app": "#2b6cb0", "awslambdaric": "#a0aec0"}
    for at, module in enumerate(shown):
        colour = colours.get(module["module"].split(".")[0], "#63b3a6")
        axis.barh(at, module["ms"], left=module["start"], height=0.75, color=colour)
        axis.text(
            module["start"] + module["ms"], at, f" {module['module']}  {module['ms']:.0f}", va="center", fontsize=7
        )
    axis.set(xlabel="ms", yticks=[], ylim=(len(shown) - 0.4, -0.6))
    axis.set_xlim(0, max(m["start"] + m["ms"] for m in shown) * 1.3)
    axis.spines[["top", "right", "left"]].set_visible(False)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def own_imports(modules: list[dict[str, Any]]) -> dict[str, float]:
    """Milliseconds by package, without what it imports from others; most first."""
    own: dict[str, float] = {}
    for module in modules:
        name = module["module"].split(".")[0]
        own[name] = own.get(name, 0.0) + module["own"]
    return dict(sorted(own.items(), key=lambda item: -item[1]))


def _imports(modules: list[dict[str, Any]]) -> list[str]:
    own = own_imports(modules)
    first = list(own.items())[:18]
    rest = sum(own.values()) - sum(ms for _, ms in first)
    return [
        "What a start imports, by package (`-X importtime`, which itself slows things down; medians):",
        "",
        "| package | ms | package | ms | package | ms |",
        "|---|---:|---|---:|---|---:|",
        *("| " + " | ".join(f"{name} | {ms:.1f}" for name, ms in first[at::6]) + " |" for at in range(6)),
        "",
        f"All others together {rest:.0f} ms, in all {sum(own.values()):.0f} ms.",
    ]


def _pure(pure: dict[str, tuple[float, float]]) -> list[str]:
    """What the pure parts take, one row a part, one column a number of certificates."""
    sizes = list(dict.fromkeys(name.rpartition(" ")[2] for name in pure))
    lines = [
        "The pure parts alone, in µs (pyperf, mean ± standard deviation):",
        "",
        f"| certificates | {' | '.join(sizes)} |",
        "|---|" + "---:|" * len(sizes),
    ]
    for part in dict.fromkeys(name.rpartition(" ")[0] for name in pure):
        figures = ("{:.0f} ± {:.0f}".format(*pure[f"{part} {size}"]) for size in sizes)
        lines.append(f"| {part} | {' | '.join(figures)} |")
    return lines


def _memory(figures: dict[str, Any]) -> list[str]:
    warm = statistics.median(figures["warm_50"]["ours"]["cpu"])
    first = statistics.median(_difference(figures["cold"]["ours"]))
    lines = [
        f"Memory sizes by the CPU share model (MB / 1,769 of a processor; {warm:.1f} ms of CPU a warm request of 50",
        f"certificates, {first:.0f} ms for the first one, 50 ms of waiting; the start itself has a whole processor):",
        "",
        "| MB | warm ms | first ms | USD per million warm |",
        "|---:|---:|---:|---:|",
    ]
    lines += [f"| {r.mb} | {r.warm_ms:.0f} | {r.first_ms:.0f} | {r.usd:.2f} |" for r in memory_rows(warm, first, 50.0)]
    return lines


def _ratio(what: str, ours: list[float], peer: list[float], goal: float) -> Row:
    return Row(what, _spread(ours), _spread(peer), statistics.median(ours) / statistics.median(peer), goal)


def _difference(cold: Samples) -> list[float]:
    return [answer - ready for answer, ready in zip(cold["answer"], cold["ready"], strict=True)]


def _spread(samples: list[float]) -> str:
    if not samples:
        return ""
    figures = (min(samples), statistics.median(samples), max(samples))
    return "–".join(f"{value:.0f}" if figures[1] >= 20 else f"{value:.1f}" for value in figures)


def _grown(memory: dict[str, Any]) -> float:
    early, late = memory["resident"]["500"], memory["resident"]["5000"]
    return float(late - early) * 1024 / MB


def _mib(kib: int) -> str:
    return f"{kib * 1024 / MB:.1f} MB"


def _machine() -> str:
    return f"Python {platform.python_version()}, {os.cpu_count()} processors, {platform.system()} {platform.machine()}."
