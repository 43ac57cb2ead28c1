"""Writes the README's table from benchmarks/results/sst2.json and sst2_few_labels.json.

python benchmarks/table.py
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from limbeck.files import read_json

ROOT = Path(__file__).parent.parent
BEGIN, END = "<!-- table: benchmarks/sst2.py -->", "<!-- end of table -->"


def main() -> None:
    """Put the table between the README's markers."""
    results = ROOT / "benchmarks" / "results"
    whole = read_json(results / "sst2.json")["report"]
    few = read_json(results / "sst2_few_labels.json")["report"]
    text = f"{BEGIN}\n{table(whole)}\n{words(whole, few)}\n{END}"
    readme = ROOT / "README.md"
    pattern = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
    readme.write_text(pattern.sub(lambda _: text, readme.read_text(encoding="utf-8")), "utf-8")


def table(report: dict[str, Any]) -> str:
    """Teacher, its int8 export, the student and its best export, side by side."""
    rows = [
        ("teacher: MiniLM-L6 on SST-2, `transformers`", report["teacher"]),
        ("teacher, int8 ONNX (no distillation)", report["arms"]["teacher_int8"]),
        ("student: 3 of 6 layers, `transformers`", report["student"]),
    ]
    for best in report["exports"]:  # none where transformers itself is the fastest
        if best["name"] == report["best_single"]:
            runtime = best["name"].replace("onnx_", "").replace("_", " ")
            rows.append((f"**student, {runtime} ONNX**", best))
    lines = [
        "| | test accuracy | of the teacher | one text, p50 | texts/s | size |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    teacher = report["teacher"]
    for name, row in rows:
        score = row["score"]["value"]
        p50, size = row["latency_ms_p50"], row["size_mb"]
        lines.append(
            f"| {name} | {score:.4f} | {score / teacher['score']['value']:.1%} | {p50:.2f} ms"
            f"{_times(teacher['latency_ms_p50'] / p50)} | {row['texts_per_s']:,.0f} | "
            f"{size:.1f} MB{_times(teacher['size_mb'] / size)} |"
        )
    return "\n".join(lines)


def words(whole: dict[str, Any], few: dict[str, Any]) -> str:
    """What the table does not say: intervals, the control arms, the machine, the command."""
    kept = whole["retention"]
    gain = whole["differences"]["student_minus_control"]
    few_gain = few["differences"]["student_minus_control"]
    labelled, unlabelled = few["data"]["train_rows_labelled"], few["data"]["unlabelled_rows"]
    return (
        f"\nRetention {kept['value']:.1%} (95 % interval {kept['low']:.1%} to {kept['high']:.1%}, "
        f"{whole['data']['test_rows']:,} test rows). Against the same student trained on the "
        f"67,000 labels alone, the teacher added {_points(gain)}: "
        + ("within noise. " if gain["low"] <= 0 <= gain["high"] else "")
        + f"With {labelled:,} labels and {unlabelled:,} unlabelled texts it added "
        f"**{_points(few_gain)}**. Two cores, {whole['machine']['processor'].split(' (')[0]}, no "
        "GPU; made by `python benchmarks/sst2.py` "
        "([results](benchmarks/results/sst2.json)).\n"
    )


def _points(span: dict[str, float]) -> str:
    return (
        f"{100 * span['value']:+.1f} points ({100 * span['low']:+.1f} to {100 * span['high']:+.1f})"
    )


def _times(ratio: float) -> str:
    return "" if abs(ratio - 1) < 0.05 else f" ({ratio:.1f}×)"


if __name__ == "__main__":
    main()
