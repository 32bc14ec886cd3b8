"""How a call reaches the studio that this app serves. Holds nothing itself."""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import Depends, Path, Request

from hidream_studio.errors import NotFoundError
from hidream_studio.job.ids import is_id
from hidream_studio.library.library import Library
from hidream_studio.service.studio import Studio


def _studio(request: Request) -> Studio:
    return cast(Studio, request.app.state.studio)


def _library(request: Request) -> Library:
    return _studio(request).library


def _root_path(request: Request) -> str:
    return cast(str, request.scope.get("app_root_path", request.scope.get("root_path", "")))


RootPath = Annotated[str, Depends(_root_path)]
StudioOfApp = Annotated[Studio, Depends(_studio)]
LibraryOfApp = Annotated[Library, Depends(_library)]


def known_shape(kind: str, identifier: str) -> str:
    """`identifier` when it could be an id at all: nothing else is looked up, or becomes part of a path.

    Raises
    ------
    NotFoundError
        naming the kind of thing that was looked for.
    """
    if not is_id(identifier):
        shown = identifier[:40].encode("ascii", "backslashreplace").decode("ascii")
        raise NotFoundError(f"there is no {kind} {shown}", field="id")
    return identifier


IdInPath = Annotated[str, Path(json_schema_extra={"pattern": "^[0-9a-v]{26}$"})]  # told; others are not found


def _job_id(job_id: IdInPath) -> str:
    return known_shape("job", job_id)


def _image_id(image_id: IdInPath) -> str:
    return known_shape("picture", image_id)


JobId = Annotated[str, Depends(_job_id)]
ImageId = Annotated[str, Depends(_image_id)]
