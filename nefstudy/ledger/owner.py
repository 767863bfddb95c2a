"""The owner of a lease: a process, identified uniquely across machines, containers and reboots."""

import json
import os
import socket
from dataclasses import asdict, dataclass
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Owner:
    """One process on one machine.

    Pids are reused and containers may share a host name, so the identity also holds the kernel's boot id, the pid
    namespace and the process's start (clock ticks after boot). Without /proc these are empty or 0.
    """

    host: str
    pid: int
    process_start: int
    boot_id: str
    pid_namespace: str

    @classmethod
    def current(cls) -> "Owner":
        """Return the calling process."""
        return cls.of_pid(os.getpid())

    @classmethod
    def of_pid(cls, pid: int) -> "Owner":
        """Return the process with a given pid in the pid namespace of the calling process."""
        return cls(
            host=socket.gethostname(),
            pid=pid,
            process_start=process_start(pid) or 0,
            boot_id=_boot_id(),
            pid_namespace=_pid_namespace(),
        )

    @property
    def same_machine(self) -> bool:
        """Whether the owner shares this process's monotonic clock: same kernel, same boot."""
        return bool(self.boot_id) and self.boot_id == _boot_id()

    @property
    def is_visible(self) -> bool:
        """Whether this process can find the owner in /proc: same machine and pid namespace."""
        return self.same_machine and bool(self.pid_namespace) and self.pid_namespace == _pid_namespace()

    @property
    def has_ended(self) -> bool:
        """Whether the process is known to have ended; False if the process is not visible."""
        return self.is_visible and process_start(self.pid) != self.process_start

    def to_json(self) -> str:
        """Return the owner as JSON text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Owner":
        """Parse an owner from its JSON text."""
        return cls(**json.loads(text))


def process_start(pid: int) -> int | None:
    """Return the start time of a process in clock ticks after boot.

    Return None if the process has ended or is a zombie.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()  # the command name before it may contain spaces and parentheses
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
