"""Kernels by fork: each is a new process, and the libraries that it will import are there already.

A kernel takes 3 s of a processor to start, to import pandas and to run its first run; two of these are
imports of other people's libraries. One process per test process imports them and waits; a kernel is its
fork. The package itself is never imported beforehand.

Jupyter starts the program of a kernel specification. Ours is `main` of this file: it asks the waiting
process for a fork, hands it environment, folder and outputs, and passes signals on. It ends with the kernel,
and the kernel ends with it, even after SIGKILL.
"""

import contextlib
import json
import os
import signal
import socket
import sys

LIBRARIES = (
    "ipykernel.kernelapp",
    "IPython.core.completer",
    "deltalake",
    "duckdb",
    "filelock",
    "ipywidgets",
    "msgspec",
    "pandas",
    "plotly.graph_objects",
    "plotly.io",
    "pyarrow.dataset",
    "sqlalchemy",
    "sqlglot",
    "tenacity",
)


@contextlib.contextmanager
def waiting_process(folder):
    """Start it. Yield the value of ``JUPYTER_PATH`` under which the kernel ``python3`` is its fork."""
    import subprocess

    place, kernels = str(folder / "socket"), folder / "jupyter" / "kernels" / "python3"
    kernels.mkdir(parents=True)
    argv = [sys.executable, "-ISs", __file__, place, "-f", "{connection_file}"]
    spec = {"argv": argv, "display_name": "Python 3", "language": "python"}
    (kernels / "kernel.json").write_text(json.dumps(spec))
    command, pipe = [sys.executable, __file__, place], subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe) as process:
        assert process.stdout.readline() == b"ready\n"
        yield str(folder / "jupyter")
        process.stdin.close()


def wait_for_kernels(place):
    """Import the libraries, then fork a kernel for each connection, until the input ends."""
    import gc
    import importlib
    import select

    del sys.path[0]  # this file's folder
    for name in LIBRARIES:
        with contextlib.suppress(ImportError):  # an environment without it
            importlib.import_module(name)
    gc.collect()
    gc.freeze()
    kernels = {}  # a connection to the process at its other end
    wake, woken = socket.socketpair()
    wake.setblocking(False)
    signal.set_wakeup_fd(wake.fileno())
    signal.signal(signal.SIGCHLD, lambda *_: None)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(place)
        listener.listen()
        print("ready", flush=True)
        while True:
            heard, _, _ = select.select([sys.stdin, listener, woken, *kernels], [], [])
            if sys.stdin in heard:
                break
            if listener in heard:
                connection, _ = listener.accept()
                kernels[connection] = _fork(connection, [listener, wake, woken, *kernels])
            for connection in [c for c in heard if c in kernels]:
                _pass_on(connection, kernels[connection])
            if woken in heard:
                woken.recv(1000)
                for connection in [c for c, process in kernels.items() if _ended(c, process)]:
                    del kernels[connection]
                    connection.close()
    for process in kernels.values():
        os.kill(process, signal.SIGKILL)


def _fork(connection, others):
    request, outputs, _, _ = socket.recv_fds(connection, 1_000_000, 2)
    if process := os.fork():
        for output in outputs:
            os.close(output)
        return process
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    for other in (connection, *others):
        other.close()
    for number, output in enumerate(outputs, 1):
        os.dup2(output, number)
        os.close(output)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    asked = json.loads(request)
    os.environ.clear()
    os.environ.update(asked["environ"])
    os.chdir(asked["folder"])
    parent = f"--IPKernelApp.parent_handle={os.getppid()}"  # the kernel ends with it
    sys.argv[:] = ["ipykernel_launcher.py", *asked["arguments"], parent]
    from ipykernel import kernelapp

    kernelapp.launch_new_instance()
    os._exit(0)


def _pass_on(connection, process):
    """Send the kernel the signal that its program got; SIGKILL, if that program is gone."""
    number = connection.recv(1)
    with contextlib.suppress(ProcessLookupError):  # it has just ended
        os.killpg(process, number[0] if number else signal.SIGKILL)


def _ended(connection, process):
    """Tell the program of a kernel that has ended how it has."""
    ended, status = os.waitpid(process, os.WNOHANG)
    if ended:
        with contextlib.suppress(BrokenPipeError):  # that was killed
            connection.send(bytes([os.waitstatus_to_exitcode(status) & 255]))
    return ended


def main(place, *arguments):
    """Be a kernel in the eyes of Jupyter: start it, pass signals on, end as it ends."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(place)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: connection.send(bytes([number])))
    folder = os.path.realpath(".")
    asked = {"environ": dict(os.environ), "folder": folder, "arguments": arguments}
    socket.send_fds(connection, [json.dumps(asked).encode()], [1, 2])
    os._exit((connection.recv(1) or b"\1")[0])


if __name__ == "__main__":
    main(*sys.argv[1:]) if sys.argv[2:] else wait_for_kernels(sys.argv[1])
