"""The study page: files of `dashboards/page`, read once and served at `/` and `/page/`."""

from pathlib import Path

from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException

import nefstudy
from nefstudy.service.responses import etag_response

router = APIRouter(include_in_schema=False)

INDEX = "index.html"
MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}


def page_directory() -> Path:
    """Return the path of `dashboards/page`, in an installed package or in a checkout."""
    package = Path(nefstudy.__file__).parent
    inside = package / "dashboards"
    return (inside if inside.is_dir() else package.parent / "dashboards") / "page"


class PageFiles:
    """The page's files in memory, by their path under `/page/`."""

    def __init__(self, directory: Path) -> None:
        paths = [path for path in sorted(directory.rglob("*")) if path.suffix in MEDIA_TYPES and path.is_file()]
        self._files = {path.relative_to(directory).as_posix(): path.read_bytes() for path in paths}

    def file(self, name: str) -> tuple[bytes, str] | None:
        """Return a file's bytes and media type, or None for an unknown name."""
        body = self._files.get(name)
        return None if body is None else (body, MEDIA_TYPES[Path(name).suffix])


@router.get("/")
async def get_page(request: Request) -> Response:
    """Return the study page."""
    return _file(request, INDEX)


@router.get("/page/{name:path}")
async def get_page_file(request: Request, name: str) -> Response:
    """Return a file of the study page.

    The page itself has relative links, so it is served only at `/`.
    """
    return _file(request, name if name != INDEX else "")


def _file(request: Request, name: str) -> Response:
    page: PageFiles = request.app.state.page
    file = page.file(name)
    if file is None:
        raise HTTPException(404, "the study page has no such file")
    body, media_type = file
    return etag_response(request, body, media_type=media_type)
