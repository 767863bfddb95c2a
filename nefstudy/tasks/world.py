"""Who takes part in one trial: this process alone, or one rank of a worker group."""

from dataclasses import dataclass

import torch.distributed


@dataclass(frozen=True)
class World:
    """A rank among `size` workers of one trial."""

    rank: int = 0
    size: int = 1

    def barrier(self) -> None:
        """Wait until every rank is here; returns at once when alone."""
        if self.size > 1:
            torch.distributed.barrier()


def current_world() -> World:
    """The world this process was started in, by torch.distributed."""
    if not torch.distributed.is_available() or not torch.distributed.is_initialized():
        return World()
    return World(torch.distributed.get_rank(), torch.distributed.get_world_size())
