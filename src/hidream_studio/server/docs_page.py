"""GET /docs: the OpenAPI document as one plain page, without scripts and without another host. Adds nothing to it."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

router = APIRouter(include_in_schema=False)

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'"
_STYLE = """
  body { font: 15px/1.55 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1c1d20 }
  h2 { margin-top: 2.2rem; border-bottom: 1px solid #ddd } h3 { margin: 1.4rem 0 .2rem; font-size: 1rem }
  code, td:first-child { font-family: ui-monospace, monospace } b { display: inline-block; min-width: 4.2rem }
  table { border-collapse: collapse; margin: .3rem 0 .3rem 1rem }
  td { padding: .1rem .8rem .1rem 0; vertical-align: top }
  td:first-child { white-space: nowrap } .note { color: #666 }
  @media (prefers-color-scheme: dark) {
    body { background: #16171a; color: #e8e8ea } h2 { border-color: #333 } .note { color: #999 } a { color: #8fb0ff }
  }
"""


@router.get("/docs")
async def docs(request: Request) -> HTMLResponse:
    page = "".join(_page(request.app.openapi(), request.scope.get("root_path", "")))
    return HTMLResponse(page, headers={"Content-Security-Policy": _POLICY})


def _page(document: Mapping[str, Any], root_path: str) -> Iterator[str]:
    info = document["info"]
    yield f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{_text(info['title'])}</title>"
    yield f"<style>{_STYLE}</style>"
    yield f"<h1>{_text(info['title'])} {_text(info['version'])}</h1><p>{_text(info.get('description', ''))}</p>"
    address = _text(f"{root_path}/openapi.json")
    yield f"<p class='note'>The same for programs: <a href='{address}'>{address}</a>.</p>"
    tags = dict.fromkeys(operation["tags"][0] for _, _, operation in _operations(document))
    for tag in tags:
        yield f"<h2>{_text(tag)}</h2>"
        for method, path, operation in _operations(document):
            if operation["tags"][0] == tag:
                yield from _operation(document, method, path, operation)


def _operations(document: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def _operation(document: Mapping[str, Any], method: str, path: str, operation: Mapping[str, Any]) -> Iterator[str]:
    yield f"<h3><b>{method}</b> <code>{_text(path)}</code></h3><div>{_text(operation.get('summary', ''))}</div>"
    if "description" in operation:
        yield f"<div class='note'>{_text(operation['description'])}</div>"
    rows = [(p["name"], _kind(p.get("schema", {})), p.get("description", "")) for p in operation.get("parameters", ())]
    for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
        fields = _fields(document, content.get("schema", {}))
        rows += fields or [("body", media_type, "")]
    if rows:
        cells = ("<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in row) + "</tr>" for row in dict.fromkeys(rows))
        yield f"<table>{''.join(cells)}</table>"
    yield f"<div class='note'>answers {', '.join(sorted(operation['responses']))}</div>"


def _fields(document: Mapping[str, Any], schema: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    schema = _resolved(document, schema)
    required = set(schema.get("required", ()))
    return [
        (name, _kind(value), "required" if name in required else value.get("description", ""))
        for name, value in schema.get("properties", {}).items()
    ]


def _resolved(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Through a `$ref`, or the first of several shapes."""
    while "$ref" in schema or "oneOf" in schema or "anyOf" in schema:
        if "$ref" in schema:
            schema = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[-1]]
        else:
            schema = (schema.get("oneOf") or schema["anyOf"])[0]
    return schema


def _kind(schema: Mapping[str, Any]) -> str:
    """The type and the limits of a value, in short."""
    choices = [one for one in schema.get("anyOf", [schema]) if one.get("type") != "null"]
    return " or ".join(_one_kind(one) for one in choices)


def _one_kind(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return ", ".join(str(value) for value in schema["enum"])
    if "$ref" in schema:
        return str(schema["$ref"]).rsplit("/", 1)[-1]
    names = {"minimum": "≥", "maximum": "≤", "exclusiveMinimum": ">", "minLength": "length ≥", "maxLength": "length ≤"}
    limits = [f"{sign} {_number(schema[name])}" for name, sign in names.items() if name in schema]
    return " ".join([str(schema.get("type", "any")), *limits])


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else str(value)


def _text(value: object) -> str:
    return html.escape(str(value))
