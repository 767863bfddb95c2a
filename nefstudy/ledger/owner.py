"""Who drives a study: a process, named so that nobody else can be taken for it."""

import json
import os
import socket
from dataclasses import asdict, dataclass
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Owner:
    """One process of one machine.

    A pid alone is reused and a host name may be shared by containers, so the kernel's boot id, the pid
    namespace and the process's start (clock ticks after boot) go with them. All empty where /proc is absent.
    """

    host: str
    pid: int
    process_start: int
    boot_id: str
    pid_namespace: str

    @classmethod
    def here(cls) -> "Owner":
        """The calling process."""
        return cls.of(os.getpid())

    @classmethod
    def of(cls, pid: int) -> "Owner":
        """A process of this machine that shares our pid namespace."""
        return cls(
            host=socket.gethostname(),
            pid=pid,
            process_start=process_start(pid) or 0,
            boot_id=_boot_id(),
            pid_namespace=_pid_namespace(),
        )

    @property
    def same_machine(self) -> bool:
        """Whether the owner's monotonic clock is ours: the same kernel since the same boot."""
        return bool(self.boot_id) and self.boot_id == _boot_id()

    @property
    def is_visible(self) -> bool:
        """Whether the process can be seen from here while it lives."""
        return self.same_machine and bool(self.pid_namespace) and self.pid_namespace == _pid_namespace()

    @property
    def is_gone(self) -> bool:
        """Whether the process is known to have ended; False when it cannot be seen from here."""
        return self.is_visible and process_start(self.pid) != self.process_start

    def to_json(self) -> str:
        """The owner as JSON text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Owner":
        """The owner a JSON text names."""
        return cls(**json.loads(text))


def process_start(pid: int) -> int | None:
    """Clock ticks between boot and the start of process `pid`; None when it is gone or a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()  # the command's name before it may hold blanks and parentheses
    return None if fields[0] in "ZX" else int(fields[19])


def _boot_id() -> str:
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""


def _pid_namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""
