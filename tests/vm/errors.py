"""What can be wrong with guests."""

from __future__ import annotations


class Missing(Exception):
    """Something that guests need is not on this machine.

    ``name`` is a feature of tests/machine.py: what says how to get it.
    """

    def __init__(self, name: str, why: str) -> None:
        super().__init__(why)
        self.name = name
        self.why = why


class GuestDied(Exception):
    """The guest ended, or said nothing for too long, while a command ran.

    ``console`` is the end of what its kernel printed.
    """

    def __init__(self, why: str, console: str) -> None:
        super().__init__(f"{why}\n{console}" if console else why)
        self.why = why
        self.console = console
