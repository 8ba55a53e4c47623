"""The labeling configuration that Label Studio needs beside a file of tasks.

Written with the tasks, under their name with the ending .xml. A file of that name that says
something else is left alone: configurations are changed by hand.
"""

from __future__ import annotations

import os
from pathlib import Path

from loracast.errors import StorageError
from loracast.files import write_whole

__all__ = ["check_config", "write_config"]


def check_config(tasks: Path, timestamps: bool) -> Path:
    """The path of the configuration beside the tasks.

    Args:
        tasks: the file of tasks.
        timestamps: whether its times are timestamps rather than numbers.

    Raises:
        StorageError: a file is there that says something else.
    """
    from loracast.annotation import label_studio_config

    path = tasks.with_suffix(".xml")
    wanted = label_studio_config(timestamps).encode()
    if os.path.lexists(path) and not (path.is_file() and path.read_bytes() == wanted):
        raise StorageError(
            f"--out {tasks}: {path} is there and is another labeling configuration than the one "
            "to be written beside the tasks; move it, or name another --out"
        )
    return path


def write_config(tasks: Path, timestamps: bool) -> Path:
    """Write the configuration beside the tasks; returns its path.

    Raises:
        StorageError: as `check_config`, or it cannot be written.
    """
    from loracast.annotation import label_studio_config

    path = check_config(tasks, timestamps)
    write_whole(path, label_studio_config(timestamps))
    return path
