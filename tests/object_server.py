"""A real S3 server on loopback, behind a gate that can be shut, as storage that is out."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from typing import NamedTuple


class Gate:
    """Passes TCP connections on to a port; when it is shut, it drops them and takes no others.

    Args:
        target: port on this machine.
    """

    def __init__(self, target: int):
        self._target = target
        self._is_open = True
        self._pairs: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def shut(self) -> None:
        """From now on nobody is answered."""
        self._is_open = False
        for end in self._pairs:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def open(self) -> None:
        """As before."""
        self._is_open = True

    def close(self) -> None:
        """For good."""
        self.shut()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            if not self._is_open:
                near.close()
                continue
            far = socket.create_connection(("127.0.0.1", self._target))
            self._pairs += [near, far]
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._pass_on, args=(source, sink), daemon=True).start()

    @staticmethod
    def _pass_on(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


class ObjectServer(NamedTuple):
    """A running server with the bucket `arcadia`."""

    gate: Gate
    environment: dict[str, str]
    """What a process needs to reach it as s3://arcadia."""


@contextlib.contextmanager
def object_server() -> Iterator[ObjectServer]:
    """Starts one; it holds its objects in memory, and ends with the block."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    gate = None
    try:
        _wait(port, process)
        gate = Gate(port)
        url = f"http://127.0.0.1:{gate.port}"
        urllib.request.urlopen(urllib.request.Request(f"{url}/arcadia", method="PUT")).close()
        yield ObjectServer(
            gate,
            {
                "AWS_ENDPOINT_URL": url,
                "AWS_ACCESS_KEY_ID": "key-of-the-test",
                "AWS_SECRET_ACCESS_KEY": "secret-of-the-test",
                "AWS_REGION": "us-east-1",
                "AWS_EC2_METADATA_DISABLED": "true",
            },
        )
    finally:
        if gate is not None:
            gate.close()
        process.kill()
        process.wait()


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(300):
        assert process.poll() is None, "the server ended"
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        time.sleep(0.1)
    raise TimeoutError(f"nothing listens on port {port}")


def environment_of(server: ObjectServer) -> dict[str, str]:
    """This process's environment with what the server needs."""
    return {**os.environ, **server.environment}
