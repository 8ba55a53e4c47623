"""A PostgreSQL server in a temporary folder, on a loopback port, gone afterwards.

with throwaway_postgres() as url:   # None when this machine has no server binaries
    ...
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def server_folder() -> Path | None:
    """Where `initdb` and `postgres` are: on the path, or where Debian puts them."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for folder in folders:
        if all((folder / name).exists() for name in ("initdb", "postgres", "pg_isready")):
            return folder
    return None


def _user_options() -> tuple[dict[str, Any], str]:
    """`initdb` refuses root: a root process hands the server to another user."""
    if os.geteuid() != 0:
        return {}, pwd.getpwuid(os.geteuid()).pw_name
    for name in ("postgres", "nobody"):
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}, name
    raise RuntimeError("no user 'postgres' or 'nobody' to run the server as")


@contextmanager
def throwaway_postgres() -> Iterator[str | None]:
    """Start a server, yield its URL, stop it and remove its folder."""
    binaries = server_folder()
    if binaries is None:
        yield None
        return
    options, name = _user_options()
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    try:
        if options:
            os.chown(folder, options["user"], options["group"])
        data = folder / "data"
        initdb = [binaries / "initdb", "-D", data, "-U", name, "-A", "trust", "-E", "UTF8", "-N"]
        subprocess.run(initdb, check=True, capture_output=True, cwd=folder, **options)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        command = [binaries / "postgres", "-D", data, "-k", folder, "-p", str(port)]
        command += ["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]
        log = (folder / "log").open("wb")
        server = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, **options)
        try:
            _wait(binaries, port, server, folder)
            yield f"postgresql://{name}@127.0.0.1:{port}/postgres"
        finally:
            server.send_signal(signal.SIGINT)  # fast shutdown
            server.wait(30)
            log.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _wait(binaries: Path, port: int, server: subprocess.Popen[bytes], folder: Path) -> None:
    ready = [binaries / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]
    for _ in range(300):
        if server.poll() is not None:
            raise RuntimeError(f"PostgreSQL did not start: {(folder / 'log').read_text()[-500:]}")
        if subprocess.run(ready, check=False).returncode == 0:
            return
        time.sleep(0.1)
    raise RuntimeError("PostgreSQL did not answer within 30 seconds")


if __name__ == "__main__":
    with throwaway_postgres() as address:
        print(address)
        sys.exit(0 if address else 1)
