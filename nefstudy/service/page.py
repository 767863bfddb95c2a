"""The study page: files of `dashboards/page`, read once, served at `/` and `/page/`."""

from pathlib import Path

from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException

import nefstudy
from nefstudy.service.answers import answer

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
    """`dashboards/page`: inside the package when installed, beside it in a checkout."""
    package = Path(nefstudy.__file__).parent
    inside = package / "dashboards"
    return (inside if inside.is_dir() else package.parent / "dashboards") / "page"


class Page:
    """The page's files in memory, by their path under `/page/`."""

    def __init__(self, directory: Path) -> None:
        paths = [path for path in sorted(directory.rglob("*")) if path.suffix in MEDIA_TYPES and path.is_file()]
        self._files = {path.relative_to(directory).as_posix(): path.read_bytes() for path in paths}

    def file(self, name: str) -> tuple[bytes, str] | None:
        """A file's bytes and media type; None for a name the page does not have."""
        body = self._files.get(name)
        return None if body is None else (body, MEDIA_TYPES[Path(name).suffix])


@router.get("/")
async def get_page(request: Request) -> Response:
    """The study page."""
    return _file(request, INDEX)


@router.get("/page/{name:path}")
async def get_page_file(request: Request, name: str) -> Response:
    """A file of the study page; the page itself, whose links are relative, is at `/` alone."""
    return _file(request, name if name != INDEX else "")


def _file(request: Request, name: str) -> Response:
    page: Page = request.app.state.page
    found = page.file(name)
    if found is None:
        raise HTTPException(404, "the study page has no such file")
    return answer(request, found[0], media_type=found[1])
