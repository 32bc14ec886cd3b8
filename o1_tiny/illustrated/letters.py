"""The lettering of signs: capitals and digits as round strokes on a 4 × 6 grid. Knows no colours or sizes."""

from __future__ import annotations

from itertools import pairwise

# strokes are points "xy" on the grid, x 0 to 4, y 0 to 6 downwards; a bar starts a new stroke. They go along, down or
# at 45 degrees (but for the V): the fewer slopes there are, the fewer patches a model must tell apart
STROKES: dict[str, str] = {
    "A": "06 02 20 42 46 | 04 44", "B": "00 06 36 45 44 33 03 | 00 30 41 42 33", "C": "41 30 10 01 05 16 36 45",
    "D": "00 06 26 44 42 20 00", "E": "40 00 06 46 | 03 33", "F": "40 00 06 | 03 33",
    "G": "41 30 10 01 05 16 36 45 43 23", "H": "00 06 | 40 46 | 03 43", "I": "10 30 | 20 26 | 16 36",
    "J": "20 40 45 36 16 05", "K": "00 06 | 03 13 | 40 13 46", "L": "00 06 46", "M": "06 00 22 40 46",
    "N": "06 00 01 45 46 40", "O": "10 30 41 45 36 16 05 01 10", "P": "06 00 30 41 42 33 03",
    "Q": "10 30 41 45 36 16 05 01 10 | 24 46", "R": "06 00 30 41 42 33 03 | 13 46",
    "S": "41 30 10 01 02 13 33 44 45 36 16 05", "T": "00 40 | 20 26", "U": "00 05 16 36 45 40", "V": "00 26 40",
    "W": "00 06 24 46 40", "X": "00 01 45 46 | 40 41 05 06", "Y": "00 01 23 41 40 | 23 26", "Z": "00 40 41 05 06 46",
    "0": "10 30 41 45 36 16 05 01 10 | 32 14", "1": "02 20 26 | 16 36",
    "2": "01 10 30 41 42 06 46", "3": "01 10 30 41 42 33 44 45 36 16 05 | 13 33", "4": "36 30 03 04 44",
    "5": "40 00 02 32 43 45 36 16 05", "6": "41 30 10 01 05 16 36 45 44 33 03", "7": "00 40 42 24 26",
    "8": "10 30 41 42 33 13 02 01 10 | 13 04 05 16 36 45 44 33", "9": "43 13 02 01 10 30 41 45 36 16 05",
}  # fmt: skip
CHARACTERS = "".join(STROKES)
HALF_STROKE = 0.6  # grid units, as everything here
ADVANCE = 6.0  # from one letter's middle to the next one's

Segment = tuple[float, float, float, float]  # from x, y to x, y


def segments(character: str) -> list[Segment]:
    """A letter's strokes from its middle; straight runs are one segment."""
    found: list[Segment] = []
    for stroke in STROKES[character].split("|"):
        points = [(float(point[0]) - 2, float(point[1]) - 3) for point in stroke.split()]
        for (x0, y0), (x1, y1) in pairwise(points):
            found.append((x0, y0, x1, y1))
    return found
