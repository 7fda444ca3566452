"""The processes of a door, and where the gateway finds them."""

from dataclasses import dataclass
from typing import Self

from server.settings.reader import Reader


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """The processes that serve one door: REST or the live sockets."""

    processes: int
    port: int
    """Of the first process here; the others follow."""
    hosts: tuple[str, ...]
    """All processes that the gateway shares the work among, on this machine or elsewhere."""

    @property
    def ports(self) -> range:
        return range(self.port, self.port + self.processes)

    @classmethod
    def read(cls, read: Reader, prefix: str, port: int) -> Self:
        """The variables that begin with `prefix`."""
        processes = read.integer(f"{prefix}_PROCESSES", 2, 1, 64)
        port = read.port(f"{prefix}_PORT", port)
        hosts = read.hosts(f"{prefix}_HOSTS", range(port, port + processes))
        return cls(processes=processes, port=port, hosts=hosts)
