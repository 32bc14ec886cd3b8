"""Links that show one picture to whoever has them, until they end: for an <img>, which sends no header.

Signed with a secret of this process, so that they end with it, too. Knows nothing of tokens.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from urllib.parse import parse_qs

from starlette.datastructures import URL
from starlette.requests import Request
from starlette.types import Scope

from hidream_studio.server.root_path import route_path

LINK_S = 24 * 3600
MAX_QUERY_FIELDS = 10
FILE_ROUTE = "image_file"  # the name of GET /api/images/{id}/file
_FILE_PATH = re.compile(r"/api/images/([^/]+)/file")


class Links:
    """Signs links to pictures' files, and knows its own."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)

    def signed(self, url: URL, image_id: str) -> str:
        """The address of a picture's file with what opens it for `LINK_S`."""
        ends = str(int(time.time()) + LINK_S)
        return str(url.include_query_params(ends=ends, signature=self._signature(image_id, ends)))

    def opens(self, scope: Scope) -> bool:
        """Whether this call follows a link that was signed here and has not ended."""
        if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD") or not scope.get("query_string"):
            return False
        path = _FILE_PATH.fullmatch(route_path(scope))
        if path is None:
            return False
        try:
            query = parse_qs(scope["query_string"].decode("latin-1"), max_num_fields=MAX_QUERY_FIELDS)
        except ValueError:  # more fields
            return False
        if not len(query.get("ends", ())) == len(query.get("signature", ())) == 1:
            return False
        (ends,), (signature,) = query["ends"], query["signature"]
        if not hmac.compare_digest(signature.encode(), self._signature(path[1], ends).encode()):
            return False
        return int(ends) > time.time()  # a number: we have signed it

    def _signature(self, image_id: str, ends: str) -> str:
        signed = f"picture {image_id} until {ends}".encode("utf-8", "surrogatepass")
        return hmac.new(self._key, signed, hashlib.sha256).hexdigest()


def file_url(request: Request, image_id: str) -> str:
    """Absolute, with the Host that the client used: the access rules have accepted it."""
    links: Links = request.app.state.links
    return links.signed(request.url_for(FILE_ROUTE, image_id=image_id), image_id)
