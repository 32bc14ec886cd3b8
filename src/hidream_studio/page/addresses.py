"""Where a page's browser finds pictures: the server's paths, behind the prefix of a proxy. Knows no picture."""

from __future__ import annotations

from pathlib import Path

ASSETS = Path(__file__).parent / "static"
ASSETS_URL = "/_studio/assets"  # no prefix of a proxy begins so

_prefix = [""]  # of the one page that NiceGUI has in a process


def set_prefix(root_path: str) -> None:
    """What a proxy puts before every path; "" where there is none. `mount` says it."""
    _prefix[0] = root_path


def picture_file(image_id: str) -> str:
    return f"{_prefix[0]}/api/images/{image_id}/file"


def thumbnail(image_id: str) -> str:
    return f"{_prefix[0]}/api/images/{image_id}/thumb"


def uploads() -> str:
    """Where pictures are sent to, that shall go into the model."""
    return f"{_prefix[0]}/api/uploads"


def upload_file(upload_id: str) -> str:
    return f"{uploads()}/{upload_id}/file"


def upload_thumbnail(upload_id: str) -> str:
    return f"{uploads()}/{upload_id}/thumb"


def asset(path: str) -> str:
    """A path of this server, as the browser must ask for it."""
    return _prefix[0] + path
