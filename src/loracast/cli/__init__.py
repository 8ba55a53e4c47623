"""The command line: thin doors over the other rooms, one file per command.

Machine-readable output goes to stdout, everything for people to stderr where a command has both.
A mistake of the user ends in one line on stderr and exit code 2.
"""

from __future__ import annotations

from loracast.cli._main import main

__all__ = ["main"]
