"""Running the simulator: blocking, in a thread of this process, or as a process of its own."""

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import uvicorn

from benchmarks.simulator.app import SimulatorApp, create_app
from benchmarks.simulator.settings import SimulatorSettings

ROOT = Path(__file__).resolve().parent.parent.parent
PATIENCE = 20.0


class _Server(uvicorn.Server):
    """A uvicorn that lets go of its clients when it is told to stop."""

    def __init__(self, app: SimulatorApp) -> None:
        self.simulator = app
        super().__init__(
            uvicorn.Config(
                app,
                log_level="warning",
                access_log=False,
                lifespan="off",
                server_header=False,
                backlog=4096,
                timeout_keep_alive=60,  # as providers do, and longer than our client keeps one
                timeout_graceful_shutdown=2,
            )
        )

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.simulator.abandon()
        await super().shutdown(sockets)


def run(
    host: str = "127.0.0.1",
    port: int = 8765,
    settings: SimulatorSettings | None = None,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Serves until SIGINT or SIGTERM. Port 0 means a free one; `ready` is told the URL."""
    listener = _listen(host, port)
    if ready is not None:
        ready(_url(listener))
    try:
        _Server(create_app(settings)).run(sockets=[listener])
    except KeyboardInterrupt:  # uvicorn raises the signal again once it has stopped
        pass
    finally:
        listener.close()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=4096)


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class SimulatorThread:
    """The simulator in a thread of this process, with an event loop of its own.

    A context manager; `url` and `app` (with its `log`) are there as soon as it is made.
    """

    def __init__(self, settings: SimulatorSettings | None = None) -> None:
        self.app = create_app(settings)
        self._listener = _listen("127.0.0.1", 0)
        self.url = _url(self._listener)
        self._server = _Server(self.app)
        self._thread = threading.Thread(target=self._run, name="simulator", daemon=True)

    def start(self) -> Self:
        """The listening socket queues requests until the loop runs, so there is no wait."""
        self._thread.start()
        return self

    def stop(self) -> None:
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(PATIENCE)
        self._listener.close()

    def _run(self) -> None:
        self._server.run(sockets=[self._listener])

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


class SimulatorProcess:
    """The simulator as a process of its own, so that it shares no GIL with what is measured.

    `arguments` are those of `python -m benchmarks.simulator`. It ends when this process does.
    """

    def __init__(self, arguments: Sequence[str] = ()) -> None:
        self.arguments = tuple(arguments)
        self.url = ""
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Returns when it listens. Raises RuntimeError if it does not within 20 seconds."""
        command = [
            sys.executable,
            "-m",
            "benchmarks.simulator",
            "--port",
            "0",
            "--exit-with-parent",
        ]
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        self._process = subprocess.Popen(
            [*command, *self.arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
            start_new_session=True,  # a Ctrl-C on the terminal is for the parent to handle
        )
        self.url = self._first_line(self._process)
        return self

    def _first_line(self, process: "subprocess.Popen[bytes]") -> str:
        assert process.stdout is not None
        alarm = threading.Timer(PATIENCE, process.kill)
        alarm.start()
        try:
            line = process.stdout.readline()
        finally:
            alarm.cancel()
        if not line:
            self.stop()
            raise RuntimeError("the provider simulator did not start; its error is above")
        return str(json.loads(line)["url"])

    def stop(self) -> None:
        """Terminates it, and kills it if it is not gone after three seconds."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(3)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def exit_with_parent() -> None:
    """Ends this process when its standard input closes, which it does when the parent dies."""

    def wait() -> None:
        while os.read(0, 1024):
            pass
        os._exit(0)

    threading.Thread(target=wait, name="exit-with-parent", daemon=True).start()
