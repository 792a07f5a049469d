"""The README's tables of speed, from what ``convlayers bench --json`` saved."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from convlayers.bench.report import treatment
from convlayers.bench.summary import SLOW

#: The README's part that is written anew lies between these.
MARKS = "<!-- speed -->", "<!-- /speed -->"
_COLUMNS = ("mean", "least", "below 1", "of the limit")


class RenderError(ValueError):
    """A file is not what was expected: a sentence with its name."""


def load(path: Path) -> dict[str, Any]:
    """A saved run.

    Raises:
        RenderError: for a file that ``--json`` did not write, or that has no ratio to a rival.
    """
    try:
        run = json.loads(path.read_text(encoding="utf-8"))
        ready = bool(run["rivals"]) and any(row.get("ratios") for row in run["rows"])
        if not all("share" in summary for summary in run["summaries"]):
            raise KeyError("share")  # of a release before it was saved
    except OSError as error:
        raise RenderError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise RenderError(f"{path}: is not what `convlayers bench --json` saves") from error
    if not ready:
        raise RenderError(f"{path}: has no row with a ratio")
    return run


def tables(run: dict[str, Any]) -> str:
    """Markdown: the machine, means of each list, and folded, of each kind, against every rival, and the slow rows."""
    rival, machine, limits = run["rivals"][0], run["machine"], run["limits"]
    versions = {"convlayers": machine["convlayers"], "torch": machine["torch"]} | machine["others"]
    parts = [
        f"`{run['command']}` on {machine['processor']}, {machine['threads']} threads, {machine['isa']}; "
        f"{', '.join(f'{name} {version}' for name, version in versions.items())}; measured limits "
        f"{limits['gflops']:.0f} GFLOP/s and {limits['gbytes']:.0f} GB/s; memory "
        f"{treatment(run['settings']['keep_memory'])}.{'' if run['complete'] else ' The run was interrupted.'} "
        f"Means are geometric, of the time of {rival}'s fastest layout over that of ours channels last: above 1, ours "
        "is faster. 'Of the limit' is the median share that ours reached of the nearer of the two limits: above 100 % "
        "where fewer multiplications are done than the definition's, or data stays in the caches.",
        _table(run, "list", rival),
        "<details><summary>By kind of convolution, beside others, and every row that is slow</summary>",
        _table(run, "kind", rival),
    ]
    if len(run["rivals"]) > 1:
        parts.append(_rivals(run))
    parts += [_slow(run, rival), "</details>"]
    return "\n\n".join(parts)


def _table(run: dict[str, Any], by: str, rival: str) -> str:
    """Means of each list or kind, and of all."""
    found = [s for s in run["summaries"] if s["rival"] == rival and s["by"] in (by, "all")]
    groups: dict[str, list[dict[str, Any]]] = {}
    for summary in found:
        groups.setdefault(summary["group"], []).append(summary)
    # Of a list, the name of its file; a kind's name stays as it is.
    short = {group: Path(group).stem if by == "list" else group for group in groups} | {"all": "**all**"}
    head = {"list": "list", "kind": "kind of convolution"}[by]
    return _means(run, head, [(short[group], of) for group, of in groups.items()])


def _rivals(run: dict[str, Any]) -> str:
    """Means of all rows beside each rival."""
    groups: dict[str, list[dict[str, Any]]] = {rival: [] for rival in run["rivals"]}
    for summary in run["summaries"]:
        if summary["by"] == "all":
            groups[summary["rival"]].append(summary)
    return _means(run, "all rows, beside", list(groups.items()))


def _means(run: dict[str, Any], head: str, groups: list[tuple[str, list[dict[str, Any]]]]) -> str:
    directions = list(dict.fromkeys(row["direction"] for row in run["rows"]))
    columns = [f"{direction}: {what}" for direction in directions for what in _COLUMNS]
    lines = [" | ".join([head, *columns]), " | ".join(["---", *["--:"] * len(columns)])]
    for name, summaries in groups:
        of = {summary["direction"]: summary for summary in summaries}
        lines.append(" | ".join([name, *(cell for direction in directions for cell in _cells(of.get(direction)))]))
    return "\n".join(f"| {line} |" for line in lines)


def _cells(summary: dict[str, Any] | None) -> tuple[str, ...]:
    if summary is None:
        return ("-",) * len(_COLUMNS)
    counts = f"{summary['below_one']} of {summary['rows']}"
    return (f"{summary['geometric_mean']:.2f}", f"{summary['least']:.2f}", counts, f"{summary['share']:.0%}")


def _slow(run: dict[str, Any], rival: str) -> str:
    """The rows below :data:`SLOW`, the slowest first."""
    ratios = [
        (row["ratios"][rival], row["problem"]["name"], row["direction"])
        for row in run["rows"]
        if row.get("ratios", {}).get(rival, SLOW) < SLOW
    ]
    names = ", ".join(f"{name} {direction} {ratio:.2f}" for ratio, name, direction in sorted(ratios))
    return f"Below {SLOW}: {names or 'none'}."


def insert(readme: Path, text: str) -> None:
    """Writes ``text`` between the :data:`MARKS` of a file.

    Raises:
        RenderError: where the file cannot be read or has not each mark once, in order.
    """
    try:
        content = readme.read_text(encoding="utf-8")
    except OSError as error:
        raise RenderError(f"{readme}: cannot be read: {error.strerror or error}") from error
    begin, end = MARKS
    if [content.count(mark) for mark in MARKS] != [1, 1] or content.index(begin) > content.index(end):
        raise RenderError(f"{readme}: must have {begin} once, and {end} once after it")
    before, after = content.split(begin)[0], content.split(end)[1]
    readme.write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")
