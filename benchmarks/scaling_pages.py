"""Tables and the figure of scaling.py: what its results file says, and what follows for 8 to 1,024 GPUs."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from matplotlib.ticker import FuncFormatter, LogLocator
from scaling_model import (
    H100,
    H200,
    Counts,
    Fit,
    Scaled,
    bytes_a_parameter,
    counts,
    largest,
    scaled,
    step_seconds,
)
from scaling_runs import family

from aimgan.figures.style import LABEL, PALETTE, page, panel, plain

HERE = Path(__file__).parent
FIGURE = HERE.parent / "docs" / "figures" / "scaling.png"
WIDTHS = {"Table 4": 1024, "10 x": 3264}
GPUS = (1, 8, 16, 32, 64, 128, 256, 512, 1024)
BATCHES = (("strong, batch 100", 100, False), ("strong, batch 1,024", 1024, False), ("weak, 100 a GPU", 100, True))
FILES = ("scaling-strong-100", "scaling-strong-1024", "scaling-weak")
MB, GB = 1e6, 1e9


def utilisation() -> float:
    """Share of the matrix-multiply peak that Table 4's step reached on this CPU (results/step.json)."""
    rows = json.loads((HERE / "results" / "step.json").read_text())["rows"]
    return next(r["fraction_of_peak"] for r in rows if (r["name"], r["variant"]) == ("Table 4", "plain"))


def predicted(made: dict[str, Any]) -> dict[str, Any]:
    """Steps on GPUs. A kernel's call costs the host what it costs this one: the fit's constant over its calls."""
    call = made["fit"]["step"] / counts(family(64)).operations
    share = utilisation()
    rows = []
    for name, width in WIDTHS.items():
        c = counts(family(width, 64))
        for kind, batch, weak in BATCHES:
            steps = [scaled(H100, c, batch * n if weak else batch, n, share, call) for n in GPUS]
            rows += [{"networks": name, "kind": kind, **told(step, steps[0], weak)} for step in steps]
    sizes = {name: asdict(counts(family(width, 64))) for name, width in WIDTHS.items()}
    return {"utilisation": share, "call": call, "rows": rows, "sizes": sizes}


def told(step: Scaled, alone: Scaled, weak: bool) -> dict[str, Any]:
    ideal = alone.seconds / (1 if weak else step.gpus)
    return {
        **asdict(step), "seconds": step.seconds, "graphed": step.graphed, "limit": step.limit,
        "efficiency": ideal / step.seconds, "images_per_second": step.batch / step.seconds,
    }  # fmt: skip


def fit_page(made: dict[str, Any]) -> str:
    fit, machine = Fit(**made["fit"]), made["environment"]
    lines = [
        f"`{made['command']}`: {made['date']}, {machine['processor']}, one thread a process, torch {machine['torch']}, "
        "gloo. Networks: Table 4's at 32 x 32.",
        "",
        "| fitted | |",
        "| --- | --- |",
        f"| a step, whatever its size | {1e3 * fit.step:.1f} ms |",
        f"| arithmetic | {1 / fit.gflop:.1f} GFLOP/s |",
        f"| activations | {1e3 * fit.activation:.2f} ms a million kept elements |",
        f"| parameters | {1e3 * fit.parameter:.2f} ms a million |",
        f"| two processes compute, against one alone | {fit.contention:.2f} x as long |",
        f"| gradients laid out flat, copied, divided | {1e3 * fit.flat:.2f} ms a million parameters |",
        f"| all-reduce of 2 processes, alone | {1e3 * fit.latency:.2f} ms + bytes / {fit.link / GB:.2f} GB/s |",
        f"| checkpoint written, with its checksum | {made['checkpoint_bytes_per_second'] / MB:,.0f} MB/s |",
        "",
        "| width | batch | 1 process, ms | model / measured | 2 processes, ms | model / measured |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    seen = {(r["processes"], r["width"], r["batch"]): r["seconds"] for r in made["steps"]}
    for n, width, batch in seen:
        if n == 1:
            ratios = [step_seconds(fit, counts(family(width)), batch, k) / seen[k, width, batch] for k in (1, 2)]
            one, two = (1e3 * seen[k, width, batch] for k in (1, 2))
            lines.append(f"| {width} | {batch} | {one:.1f} | {ratios[0]:.2f} | {two:.1f} | {ratios[1]:.2f} |")
    held = [f"width {r['width']}, batch {r['batch']}: {1e3 * r['seconds']:.1f} ms" for r in made["held_out"]]
    return "\n".join([*lines, "", f"Predicted for 2 processes, not run before: {'; '.join(held)}."]) + "\n"


def scaled_pages(made: dict[str, Any]) -> dict[str, str]:
    whole = made["scaled"]
    every = {name: Counts(**{**values, "updates": tuple(values["updates"])}) for name, values in whole["sizes"].items()}
    pages = {"scaling-sizes": sizes_page(every)}
    for file, (kind, _, _) in zip(FILES, BATCHES, strict=True):
        pages[file] = kind_page([row for row in whole["rows"] if row["kind"] == kind])
    return pages | {"scaling-beside": beside_page(made, every)}


def beside_page(made: dict[str, Any], every: dict[str, Counts]) -> str:
    """What images a GPU takes, and the checkpoint, at 8 GPUs with 100 images each."""
    rate = made["checkpoint_bytes_per_second"]
    lines = [
        "| networks | images/s that a GPU takes (as one graph) | checkpoint, MB | written in, s "
        "| share of time, one each 30 s |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in made["scaled"]["rows"]:
        if (row["kind"], row["gpus"]) == (BATCHES[2][0], 8):
            size = 12 * every[row["networks"]].parameters
            taken = [row["batch"] / row["gpus"] / row[key] for key in ("seconds", "graphed")]
            lines.append(
                f"| {row['networks']} | {taken[0]:,.0f} ({taken[1]:,.0f}) | {size / MB:,.0f} "
                f"| {size / rate:.1f} | {size / rate / (30 + size / rate):.0%} |"
            )
    return "\n".join(lines) + "\n"


def sizes_page(every: dict[str, Counts]) -> str:
    columns = list(every.values())
    rows = {
        "parameters": [f"{c.parameters:,}" for c in columns],
        "GFLOP an image": [f"{c.flop / 1e9:.2f}" for c in columns],
        "weights, MB": [f"{4 * c.parameters / MB:,.0f}" for c in columns],
        "gradients, MB": [f"{4 * c.parameters / MB:,.0f}" for c in columns],
        "Adam's moments, MB": [f"{8 * c.parameters / MB:,.0f}" for c in columns],
        "averages of the weights, MB (recipes with `ema`)": [f"{4 * c.parameters / MB:,.0f}" for c in columns],
        "flat gradients and their reduced copy, MB": [f"{8 * max(c.updates) / MB:,.0f}" for c in columns],
        "activations, MB an image": [f"{4 * c.activations / MB:.1f}" for c in columns],
        "all-reduces a step, MB each": [" + ".join(f"{4 * p / MB:,.0f}" for p in c.updates) for c in columns],
        "calls of kernels a step": [f"{c.operations}" for c in columns],
        "batch-norm calls, a collective each if synchronised": [f"{c.norms}" for c in columns],
        "bytes a parameter, all told": [f"{bytes_a_parameter(c):.1f}" for c in columns],
        "largest whole on 80 GB, parameters": [f"{largest(H100, c) / 1e9:.1f} billion" for c in columns],
        "largest whole on 141 GB, parameters": [f"{largest(H200, c) / 1e9:.1f} billion" for c in columns],
    }
    head = ["| of a rank | " + " | ".join(every) + " |", "| --- |" + " --- |" * len(every)]
    return "\n".join([*head, *(f"| {name} | {' | '.join(cells)} |" for name, cells in rows.items())]) + "\n"


def kind_page(rows: list[dict[str, Any]]) -> str:
    lines = [
        "| networks | GPUs | images a GPU | GPU ms | host ms | all-reduce ms | batch-norm ms | step ms | images/s "
        "| efficiency | what limits | as one graph, ms |",
        "| --- |" + " --- |" * 11,
    ]
    for r in rows:
        device = 1e3 * (r["arithmetic"] + r["memory"])
        share = r["batch"] / r["gpus"]
        head = f"| {r['networks']} | {r['gpus']:,} | {share:.3g} | "
        if share < 1:
            lines.append(head + "- | - | - | - | - | - | - | less than an image a GPU | - |")
            continue
        lines.append(
            head + f"{device:.2f} | {1e3 * r['host']:.1f} | {1e3 * r['reduce']:.2f} | {1e3 * r['norm']:.2f} "
            f"| {1e3 * r['seconds']:.1f} | {r['images_per_second']:,.0f} | {r['efficiency']:.0%} | {r['limit']} "
            f"| {1e3 * r['graphed']:.2f} |"
        )
    return "\n".join(lines) + "\n"


def outcome_page(made: dict[str, Any]) -> str:
    commit, when = made["prediction"].split()
    lines = [
        f"`{made['command']}`: {made['date']}. Predicted {made['predicted_at']}, committed as {commit[:10]} at {when}; "
        f"medians of {len(made['rows'][0]['all'])} rounds.",
        "",
        "| width | batch | processes | predicted, ms | measured, ms | predicted / measured |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for r in made["rows"]:
        lines.append(
            f"| {r['width']} | {r['batch']} | {r['processes']} | {1e3 * r['seconds']:.1f} | {1e3 * r['measured']:.1f} "
            f"| {r['ratio']:.2f} |"
        )
    return "\n".join([*lines, "", f"Within 20 %: {'holds' if made['holds'] else 'FAILS'}."]) + "\n"


def efficiency_page(made: dict[str, Any]) -> str:
    machine = made["environment"]
    lines = [
        f"`{made['command']}`: {made['date']}, {machine['processor']}, torch {machine['torch']}; medians of "
        f"{made['rounds']} rounds, in turns. The global batch is the same in all columns.",
        "",
        "| networks | batch | 1 process, 1 thread, ms | 1 process, 2 threads, ms | 2 processes, 1 thread each, ms "
        "| 2 threads / 2 processes (range) | speed-up over 1 thread | efficiency on 2 cores |",
        "| --- |" + " --- |" * 7,
    ]
    for r in made["rows"]:
        low, high = r["ratio_range"]
        one, threads, processes = (1e3 * r[name] for name in ("one", "threads", "processes"))
        lines.append(
            f"| {r['label']} | {r['batch']} | {one:.1f} | {threads:.1f} | {processes:.1f} | {r['ratio']:.2f} "
            f"({low:.2f} to {high:.2f}) | {r['speedup']:.2f} | {r['speedup'] / 2:.0%} |"
        )
    return "\n".join(lines) + "\n"


def draw(whole: dict[str, Any]) -> None:
    caption = "Predicted, not measured. Solid: Table 4's networks; dashed: ten times their parameters."
    figure = page(7.4, 3.0, caption)
    for left, weak, name in ((0.95, False, "images a second"), (4.6, True, "efficiency, 100 images a GPU")):
        axes = panel(figure, left, 0.2, 2.7, 2.25)
        axes.set_xscale("log", base=2)
        if not weak:
            axes.set_yscale("log")
        for style, networks in zip(("-", "--"), WIDTHS, strict=True):
            for colour, (kind, _, is_weak) in zip(PALETTE, BATCHES, strict=False):
                rows = [r for r in whole["rows"] if (r["networks"], r["kind"]) == (networks, kind)]
                rows = [r for r in rows if r["batch"] >= r["gpus"]]
                if is_weak == weak or not weak:
                    y = [r["efficiency" if weak else "images_per_second"] for r in rows]
                    label = kind if style == "-" and not weak else None
                    axes.plot([r["gpus"] for r in rows], y, style, color=colour, linewidth=1.3, label=label)
        if weak:
            axes.set_ylim(0, 1.05)
        plain(axes, "GPUs (H100)", name)
        axes.set_xticks(GPUS[::2], [f"{n:,}" for n in GPUS[::2]])
        if not weak:
            axes.yaxis.set_major_locator(LogLocator(10))
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
            axes.legend(fontsize=LABEL - 2, frameon=False)
    figure.savefig(FIGURE, metadata={"Software": None})
