"""A provider on a loopback port: the vendors' wire formats, and their faults on demand.

One road through the modules: `http` reads a request, a wire (a module in `wires`)
checks it and says what it asks for, `answer` decides the words, the wire writes them as frames,
`reply` puts the faults in, and `player` sends the result at the right moments. Only `player`,
`server` and `emulator` do I/O.
"""

from llmkit.testing.emulator.behaviour import Behaviour
from llmkit.testing.emulator.emulator import Emulator
from llmkit.testing.emulator.received import ReceivedRequest

__all__ = ["Behaviour", "Emulator", "ReceivedRequest"]
