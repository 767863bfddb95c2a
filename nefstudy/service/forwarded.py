"""Support for a reverse proxy: the service's path prefix, and the scheme that clients use."""

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Self

from starlette.datastructures import Headers
from starlette.types import Scope

from nefstudy.errors import BadConfig

LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1"), ip_network("::ffff:127.0.0.0/104"))
ANY_ADDRESS = (ip_network("0.0.0.0/0"), ip_network("::/0"))
_PREFIX = re.compile(r"(?:/(?!\.{1,2}(?:/|\Z))[A-Za-z0-9._~-]+)*")
_RESERVED = ("/v1", "/page", "/sign-in", "/healthz", "/metrics")


class BadForwarding(ValueError):
    """An unusable header from a trusted proxy."""


@dataclass(frozen=True)
class Forwarding:
    """The path prefix of the service, and the proxies that it trusts.

    Attributes:
        root_path: the path prefix under which a proxy serves it, without a trailing slash.
        trusted: networks whose X-Forwarded-Prefix and X-Forwarded-Proto headers are trusted.
    """

    root_path: str = ""
    trusted: Collection[IPv4Network | IPv6Network] = field(default=LOOPBACK)

    @classmethod
    def parse(cls, root_path: str = "", allow_ips: str | None = None) -> Self:
        """Parse the values of --root-path and --forwarded-allow-ips.

        Raises:
            BadConfig: the path is not a usable prefix, or an address is malformed.
        """
        path = "/" + root_path.strip("/") if root_path.strip("/") else ""
        if not _PREFIX.fullmatch(path) or path.startswith(tuple(f"{own}/" for own in _RESERVED)) or path in _RESERVED:
            raise BadConfig(
                f"--root-path {root_path[:80]!r} is not a usable prefix; give a path such as /nef (letters, digits, "
                f"'.', '_', '~', '-') that is not one of the service's own: {', '.join(_RESERVED)}"
            )
        if allow_ips is None:
            return cls(path)
        if allow_ips.strip() == "*":
            return cls(path, ANY_ADDRESS)
        try:
            return cls(path, tuple(ip_network(one.strip()) for one in allow_ips.split(",") if one.strip()))
        except ValueError as error:
            raise BadConfig(
                f"--forwarded-allow-ips {allow_ips[:80]!r}: {error}; list addresses or networks, such as "
                "10.0.0.2,192.168.0.0/16, or * for any"
            ) from None

    def apply(self, scope: Scope) -> Scope:
        """Return the ASGI scope with the prefix in `root_path` and `path`, and the client's `scheme`.

        A proxy may forward the prefix or strip it.

        Raises:
            BadForwarding: a trusted proxy sent a malformed prefix or scheme.
        """
        headers = Headers(scope=scope)
        prefix, scheme = self.root_path, scope["scheme"]
        if self._trusts(scope.get("client")):
            prefix = headers.get("x-forwarded-prefix", prefix).strip().rstrip("/")
            scheme = headers.get("x-forwarded-proto", scheme).split(",")[0].strip().lower()
        if not _PREFIX.fullmatch(prefix) or scheme not in ("http", "https"):
            raise BadForwarding("X-Forwarded-Prefix must be a path such as /nef, X-Forwarded-Proto http or https")
        path = scope["path"]
        full = path if not prefix or path == prefix or path.startswith(f"{prefix}/") else prefix + path
        return {**scope, "root_path": prefix, "path": full, "scheme": scheme}

    def _trusts(self, client: tuple[str, int] | None) -> bool:
        try:
            address = ip_address(client[0] if client else "")
        except ValueError:
            return False
        return any(address in network for network in self.trusted)


def path_of(scope: Scope) -> str:
    """Return a request's path without the service's path prefix."""
    path: str = scope["path"].removeprefix(scope["root_path"])
    return path
