"""The service behind a reverse proxy: the path it is served below, and the scheme that its visitors use."""

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Self

from starlette.datastructures import Headers
from starlette.types import Scope

from nefstudy.errors import BadConfig

LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1"), ip_network("::ffff:127.0.0.0/104"))
EVERYBODY = (ip_network("0.0.0.0/0"), ip_network("::/0"))
_PREFIX = re.compile(r"(?:/(?!\.{1,2}(?:/|\Z))[A-Za-z0-9._~-]+)*")
_OWN = ("/v1", "/page", "/sign-in", "/healthz", "/metrics")


class BadForwarding(ValueError):
    """A trusted proxy sent a header that cannot be used."""


@dataclass(frozen=True)
class Forwarding:
    """What is believed about the way to the service.

    Attributes:
        root_path: the path below which a proxy serves it, without a slash at its end.
        trusted: addresses whose X-Forwarded-Prefix and X-Forwarded-Proto are believed.
    """

    root_path: str = ""
    trusted: Collection[IPv4Network | IPv6Network] = field(default=LOOPBACK)

    @classmethod
    def parse(cls, root_path: str = "", allow_ips: str | None = None) -> Self:
        """Return the forwarding of the command line's two options.

        Raises:
            BadConfig: the path is not one to serve below, or an address is none.
        """
        path = "/" + root_path.strip("/") if root_path.strip("/") else ""
        if not _PREFIX.fullmatch(path) or path.startswith(tuple(f"{own}/" for own in _OWN)) or path in _OWN:
            raise BadConfig(
                f"--root-path {root_path[:80]!r} is not a path such as /nef (letters, digits, '.', '_', '~', '-'; not "
                f"one of the service's own: {', '.join(_OWN)}); correct it"
            )
        if allow_ips is None:
            return cls(path)
        if allow_ips.strip() == "*":
            return cls(path, EVERYBODY)
        try:
            return cls(path, tuple(ip_network(one.strip()) for one in allow_ips.split(",") if one.strip()))
        except ValueError as error:
            raise BadConfig(
                f"--forwarded-allow-ips {allow_ips[:80]!r}: {error}; list addresses or networks, such as "
                "10.0.0.2,192.168.0.0/16, or * for any"
            ) from None

    def seen(self, scope: Scope) -> Scope:
        """Return the connection as its visitor sees it: `root_path`, `path` below it, and `scheme`.

        A proxy may pass the prefix on or cut it off.

        Raises:
            BadForwarding: a trusted proxy sent a prefix or a scheme that is none.
        """
        headers = Headers(scope=scope)
        prefix, scheme = self.root_path, scope["scheme"]
        if self._trusts(scope.get("client")):
            prefix = headers.get("x-forwarded-prefix", prefix).strip().rstrip("/")
            scheme = headers.get("x-forwarded-proto", scheme).split(",")[0].strip().lower()
        if not _PREFIX.fullmatch(prefix) or scheme not in ("http", "https"):
            raise BadForwarding("X-Forwarded-Prefix is a path such as /nef, X-Forwarded-Proto http or https")
        path = scope["path"]
        within = path if not prefix or path == prefix or path.startswith(f"{prefix}/") else prefix + path
        return {**scope, "root_path": prefix, "path": within, "scheme": scheme}

    def _trusts(self, client: tuple[str, int] | None) -> bool:
        try:
            address = ip_address(client[0] if client else "")
        except ValueError:
            return False
        return any(address in network for network in self.trusted)


def path_of(scope: Scope) -> str:
    """Return the path below the prefix."""
    path: str = scope["path"].removeprefix(scope["root_path"])
    return path
