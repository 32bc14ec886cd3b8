"""Several pictures on one: a grid with labelled rows and columns, to be kept as one file. Knows no settings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from hidream_studio.errors import RequestError
from hidream_studio.image.png import decode_png, encode_png

FONT_FILE = Path(__file__).parent / "fonts" / "DejaVuSans.ttf"  # its licence lies beside it
CELL_SIDE_PX = 384
MIN_CELL_SIDE_PX = 64
MAX_SHEET_AREA_PX = 64_000_000  # about 190 MiB while it is drawn; larger sheets get smaller cells
MAX_CELLS = 10_000

_BACKGROUND = (255, 255, 255)
_INK = (32, 33, 36)
_FAINT = (95, 99, 104)
_MISSING = (241, 243, 244)
_MISSING_LINE = (218, 220, 224)


@dataclass(frozen=True)
class Cell:
    """One place of the grid. Without a picture it is drawn as missing, and the caption says why."""

    png: bytes | Path | None
    caption: str = ""  # under the picture, e.g. "2.1 s"


def contact_sheet(
    cells: Sequence[Sequence[Cell]],  # rows of equal length
    *,
    row_labels: Sequence[str] = (),
    column_labels: Sequence[str] = (),
    title: str = "",
    cell_side_px: int = CELL_SIDE_PX,
) -> Image.Image:
    """The sheet as an RGB image. Pictures keep their shape inside square cells; a file that cannot be read is missing.

    Raises
    ------
    RequestError
        when the grid is empty, has rows of different lengths, or more than `MAX_CELLS` cells.
    """
    row_count, column_count = _checked_grid(cells, row_labels, column_labels)
    layout = _layout(row_count, column_count, row_labels, cell_side_px, titled=bool(title), headed=bool(column_labels))
    sheet = Image.new("RGB", layout.size, _BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    if title:
        box = (layout.gap, layout.gap, sheet.width - layout.gap, layout.gap + layout.title_height)
        _text(draw, box, title, layout.title_font, _INK)
    for column, label in enumerate(column_labels):
        left = layout.left + column * layout.pitch_x
        box = (left, layout.top - layout.line - layout.gap // 2, left + layout.cell, layout.top - layout.gap // 2)
        _text(draw, box, label, layout.font, _INK, centred=True)
    for row, row_cells in enumerate(cells):
        top = layout.top + row * layout.pitch_y
        if row_labels:
            middle = top + layout.cell // 2
            box = (layout.gap, middle - layout.line // 2, layout.left - layout.gap, middle + layout.line // 2)
            _text(draw, box, row_labels[row], layout.font, _INK)
        for column, cell in enumerate(row_cells):
            _draw_cell(sheet, draw, cell, layout.left + column * layout.pitch_x, top, layout)
    return sheet


def contact_sheet_png(
    cells: Sequence[Sequence[Cell]],
    *,
    row_labels: Sequence[str] = (),
    column_labels: Sequence[str] = (),
    title: str = "",
    cell_side_px: int = CELL_SIDE_PX,
) -> bytes:
    """`contact_sheet` as a PNG."""
    sheet = contact_sheet(
        cells, row_labels=row_labels, column_labels=column_labels, title=title, cell_side_px=cell_side_px
    )
    return encode_png(np.asarray(sheet))


@dataclass(frozen=True)
class _Layout:
    """All in px."""

    cell: int
    gap: int
    line: int  # height of a line of text
    left: int  # of the first cell
    top: int
    title_height: int
    size: tuple[int, int]
    font: ImageFont.FreeTypeFont
    title_font: ImageFont.FreeTypeFont

    @property
    def pitch_x(self) -> int:
        return self.cell + self.gap

    @property
    def pitch_y(self) -> int:
        return self.cell + self.line + self.gap


def _checked_grid(
    cells: Sequence[Sequence[Cell]], row_labels: Sequence[str], column_labels: Sequence[str]
) -> tuple[int, int]:
    row_count, column_count = len(cells), max((len(row) for row in cells), default=0)
    if row_count * column_count == 0:
        raise RequestError("a contact sheet needs at least one cell", field="cells", limit=1)
    if row_count * column_count > MAX_CELLS:
        raise RequestError(
            f"the sheet has {row_count * column_count:,} cells; at most {MAX_CELLS:,} fit on one",
            field="cells", limit=MAX_CELLS,
        )  # fmt: skip
    if any(len(row) != column_count for row in cells):
        raise RequestError("the rows of a contact sheet must have equal lengths", field="cells", limit=column_count)
    if (row_labels and len(row_labels) != row_count) or (column_labels and len(column_labels) != column_count):
        raise RequestError("a contact sheet needs one label for each row and column, or none", field="labels")
    return row_count, column_count


def _layout(
    rows: int, columns: int, row_labels: Sequence[str], cell_side_px: int, *, titled: bool, headed: bool
) -> _Layout:
    """Cells as asked, or as large as the area allows."""
    cell = max(MIN_CELL_SIDE_PX, cell_side_px)
    while True:
        gap, text_px = max(4, cell // 32), max(11, cell // 20)
        font, title_font = _font(text_px), _font(text_px * 1.4)
        line = round(text_px * 1.5)
        title_height = round(line * 1.5) if titled else 0
        widest = max((font.getlength(_one_line(label)) for label in row_labels), default=0.0)
        left = gap + (min(math.ceil(widest), cell) + gap if row_labels else 0)
        top = gap + title_height + (line + gap // 2 if headed else 0)
        size = (left + columns * (cell + gap), top + rows * (cell + line + gap))
        if size[0] * size[1] <= MAX_SHEET_AREA_PX or cell <= MIN_CELL_SIDE_PX:
            return _Layout(cell, gap, line, left, top, title_height, size, font, title_font)
        cell = max(MIN_CELL_SIDE_PX, int(cell * 0.9))


def _draw_cell(sheet: Image.Image, draw: ImageDraw.ImageDraw, cell: Cell, left: int, top: int, layout: _Layout) -> None:
    picture = _fitted(cell.png, layout.cell)
    if picture is None:
        draw.rectangle((left, top, left + layout.cell - 1, top + layout.cell - 1), _MISSING, _MISSING_LINE)
        draw.line((left, top, left + layout.cell - 1, top + layout.cell - 1), _MISSING_LINE)
        draw.line((left, top + layout.cell - 1, left + layout.cell - 1, top), _MISSING_LINE)
    else:
        sheet.paste(picture, (left + (layout.cell - picture.width) // 2, top + (layout.cell - picture.height) // 2))
    caption = cell.caption or ("missing" if picture is None else "")
    box = (left, top + layout.cell, left + layout.cell, top + layout.cell + layout.line)
    _text(draw, box, caption, layout.font, _FAINT, centred=True)


def _fitted(png: bytes | Path | None, side_px: int) -> Image.Image | None:
    if png is None:
        return None
    try:
        picture = Image.fromarray(decode_png(png))
    except (RequestError, OSError):
        return None
    scale = side_px / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)


def _text(
    draw: ImageDraw.ImageDraw,
    box: tuple[int, int, int, int],
    text: str,
    font: ImageFont.FreeTypeFont,
    ink: tuple[int, int, int],
    *,
    centred: bool = False,
) -> None:
    """One line inside `box`, cut with an ellipsis where it is longer."""
    left, top, right, bottom = box
    text = _cut(_one_line(text), font, right - left)
    x = (left + right) / 2 if centred else left
    draw.text((x, (top + bottom) / 2), text, fill=ink, font=font, anchor="mm" if centred else "lm")


def _font(size_px: float) -> ImageFont.FreeTypeFont:
    """DejaVu Sans: Pillow's own font has no × and no é."""
    return ImageFont.truetype(FONT_FILE, size_px)


def _cut(text: str, font: ImageFont.FreeTypeFont, width_px: int) -> str:
    if font.getlength(text) <= width_px:
        return text
    low, high = 0, len(text)
    while low < high:  # the longest beginning that fits
        middle = (low + high + 1) // 2
        low, high = (middle, high) if font.getlength(text[:middle] + "…") <= width_px else (low, middle - 1)
    return text[:low].rstrip() + "…"


def _one_line(text: str, limit_chars: int = 500) -> str:
    return " ".join(text[:limit_chars].split())
