"""Which devices and processes a training takes: options of one call, no part of a run's config.

They change how fast a model is learned, not what is learned, so a run may go on with others. Light: no JAX.
"""

from __future__ import annotations

from dataclasses import dataclass

from lmtool.errors import UsageError


@dataclass(frozen=True)
class DeviceOptions:
    """What the user says of devices and processes."""

    devices: int | None = None
    """Of each process; all that JAX finds if left out."""
    shard_params: bool = False
    """True to spread parameters and optimizer state over the devices instead of repeating them."""
    distributed: bool = False
    """True to ask the cluster (SLURM, Open MPI, TPU, Kubernetes) which processes belong together."""
    coordinator: str | None = None
    """HOST:PORT of process 0, where no cluster tells it."""
    num_processes: int | None = None
    process_id: int | None = None

    @property
    def in_processes(self) -> bool:
        """Whether processes are to find each other."""
        return self.distributed or self.coordinator is not None

    def check(self) -> DeviceOptions:
        """Raise UsageError for what makes no sense whatever the machine; else the options themselves."""
        if self.devices is not None and self.devices < 1:
            raise UsageError(f"--devices must be at least 1, got {self.devices}")
        explicit = {
            "--coordinator": self.coordinator,
            "--num-processes": self.num_processes,
            "--process-id": self.process_id,
        }
        missing = [name for name, value in explicit.items() if value is None]
        if 0 < len(missing) < len(explicit):
            raise UsageError(
                f"{missing[0]} is missing: --coordinator, --num-processes and --process-id belong together",
                hint="`--distributed` alone lets SLURM, Open MPI or a TPU tell all three",
            )
        if self.num_processes is not None and self.process_id is not None:
            self._check_numbers(self.num_processes, self.process_id)
        return self

    def _check_numbers(self, num_processes: int, process_id: int) -> None:
        if num_processes < 1:
            raise UsageError(f"--num-processes must be at least 1, got {num_processes}")
        if not 0 <= process_id < num_processes:
            raise UsageError(f"--process-id must be 0 to {num_processes - 1}, got {process_id}")
        host, _, port = str(self.coordinator).rpartition(":")
        if not host or not port.isdigit():
            raise UsageError(f"--coordinator must be HOST:PORT, got '{self.coordinator}'")


__all__ = ["DeviceOptions"]
