"""A run's folder gets its reports: HTML, Markdown, JSON, CSV and sheets. Measures nothing."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader
from markupsafe import Markup

from hidream_studio.bench.folder import RunFolder, write_durably
from hidream_studio.bench.report.pictures import CropRow, Sheet, make_crops, write_sheets
from hidream_studio.bench.report.tables import markdown
from hidream_studio.bench.report.view import View, make_view
from hidream_studio.bench.results import Results, to_csv, to_json
from hidream_studio.errors import LibraryError

HTML, MARKDOWN, JSON, CSV = "report.html", "report.md", "results.json", "results.csv"
MAX_EMBEDDED_SHEETS = 24  # more would make a page of tens of MB; the files hold them all
MAX_CROP_PROMPTS = 6


def write_report(results: Results, folder: RunFolder) -> Path:
    """Every file of the report, beside the run's samples; the page's path.

    Raises
    ------
    LibraryError
        when the folder cannot be written.
    """
    out = folder.path
    try:
        write_durably(out / JSON, json.dumps(to_json(results), indent=1, ensure_ascii=False, allow_nan=False) + "\n")
        write_durably(out / CSV, to_csv(results))
        view = make_view(results)
        sheets = write_sheets(results, folder, out)
        crops = make_crops(results, folder, prompts=MAX_CROP_PROMPTS)
        write_durably(out / HTML, html_page(view, sheets, crops))
        write_durably(out / MARKDOWN, markdown_page(view, sheets))
    except OSError as error:
        raise LibraryError(f"{out} cannot be written: {error.strerror or error}") from error
    return out / HTML


def html_page(view: View, sheets: list[Sheet], crops: list[CropRow]) -> str:
    """One file that needs no other: styles, charts and pictures are inside; prompts are escaped."""
    environment = Environment(
        loader=PackageLoader("hidream_studio.bench", "report"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    values: dict[str, Any] = {field.name: getattr(view, field.name) for field in fields(view)}
    for name in ("time_charts", "loss_charts"):
        values[name] = [(caption, Markup(svg)) for caption, svg in values[name]]  # charts escape their text
    more = len(sheets) - MAX_EMBEDDED_SHEETS
    values |= {
        "sheets": sheets[:MAX_EMBEDDED_SHEETS],
        "more_sheets": f"{more} more are in sheets/." if more > 0 else "",
        "crops": crops,
        "many_prompts": len({sheet.prompt_index for sheet in sheets}) > 1,
    }
    return environment.get_template("page.html.j2").render(values)


def markdown_page(view: View, sheets: list[Sheet]) -> str:
    parts = [f"# {view.title}", view.subtitle, _bullets([f"**{name}**: {value}" for name, value in view.facts])]
    if view.notes:
        parts += ["**Before you read the numbers**", _bullets(view.notes)]
    if view.findings:
        parts += ["## In short", _bullets(view.findings)]
    parts += ["## What every setting costs", view.timing_words, markdown(view.timing)]
    parts += ["### Where the time goes", markdown(view.split)]
    if view.losses is not None:
        parts += [
            "## What it loses", f"Against the same prompt and seed at {view.reference_words}.", markdown(view.losses),
            _bullets([f"**{metric.label}**: {metric.meaning}" for metric in view.metrics]), view.left_out,
        ]  # fmt: skip
    for caption, table in view.classes:
        parts += [f"### By class of prompt: {caption}", markdown(table)]
    if view.spots is not None:
        parts += ["## Sweet spots", f"The fastest setting within {view.limits}.", markdown(view.spots)]
        if view.presets.rows:
            parts += ["Presets that follow for this machine:", markdown(view.presets)]
    parts += ["## Contact sheets", *(f"![{_plain(sheet.prompt)}, seed {sheet.seed}]({sheet.file})" for sheet in sheets)]
    parts += ["## Predicted and measured", view.cost_words, markdown(view.predictions)]
    parts += ["## How it was measured", view.method_words, f"```json\n{view.machine}\n```"]
    return "\n\n".join(parts) + "\n"


def _bullets(lines: list[str]) -> str:
    return "\n".join(f"- {_plain(line)}" for line in lines)


def _plain(text: str) -> str:
    """On one line, without what Markdown would take as HTML or as a link."""
    return " ".join(text.split()).replace("<", "&lt;").replace("[", "\\[").replace("]", "\\]")
