"""Faults are tested on the same running system as everything else."""

from tests.system.conftest import system

__all__ = ["system"]
