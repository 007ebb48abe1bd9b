"""Test an app that uses llmkit, without keys and without a network."""

from llmkit.testing.emulator import Behaviour, Emulator, ReceivedRequest

__all__ = ["Behaviour", "Emulator", "ReceivedRequest"]
