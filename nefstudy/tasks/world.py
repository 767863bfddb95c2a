"""The processes of a trial: a single process, or the ranks of a worker group."""

from dataclasses import dataclass

import torch.distributed


@dataclass(frozen=True)
class World:
    """The rank of a process among the `size` workers of a trial."""

    rank: int = 0
    size: int = 1

    def barrier(self) -> None:
        """Wait until every rank has called this method; return at once if there is only one rank."""
        if self.size > 1:
            torch.distributed.barrier()


def current_world() -> World:
    """Return the rank and size of this process's torch.distributed group; size 1 if there is no group."""
    if not torch.distributed.is_available() or not torch.distributed.is_initialized():
        return World()
    return World(torch.distributed.get_rank(), torch.distributed.get_world_size())
