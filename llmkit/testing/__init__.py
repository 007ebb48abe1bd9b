"""Test an app that uses llmkit, without keys and without a network."""

from llmkit.testing.emulator import Behaviour, Emulator, ReceivedRequest
from llmkit.testing.faults import Fault, FaultProxy

__all__ = ["Behaviour", "Emulator", "Fault", "FaultProxy", "ReceivedRequest"]
