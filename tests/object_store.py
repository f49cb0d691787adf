"""A mount that behaves as an object store does behind Databricks' volumes and workspace files, by FUSE.

As a program it serves a folder until it is killed: ``python object_store.py FOLDER MOUNT LOG [name=value …]``.

- ``append``: ``yes``, ``new`` (only to files that the same opening makes) or ``no``.
- ``random``: ``no`` refuses writes at another place than the end.
- ``rename``: ``atomic``, ``copy`` (a copy, then a removal), ``noover`` (not over a file) or ``no``.
- ``visible``: ``now``, or ``close`` if others see a file's new content once it is closed.
- ``lag``: seconds for each request to the store.
- ``cache``: seconds for which the system keeps names and attributes; 1 as by FUSE's own default.
- ``ro``: ``yes`` refuses every change.

Hard links are always refused. The log has a line for each request to the store.
"""

# ruff: noqa: PTH102, PTH105, PTH106, PTH108, PTH110, PTH113, PTH208
from __future__ import annotations

import errno
import functools
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

ATTRIBUTES = [
    "st_atime",
    "st_ctime",
    "st_mtime",
    "st_gid",
    "st_uid",
    "st_mode",
    "st_nlink",
    "st_size",
]
REQUESTS = [
    "getattr",
    "readdir",
    "mkdir",
    "rmdir",
    "unlink",
    "rename",
    "create",
    "open",
    "release",
    "truncate",
    "fsync",
]
"""What a store is asked; contents are read and written in between."""


class Mount:
    """A mounted folder; `stored` is the folder whose files the store has."""

    def __init__(self, folder, **options):
        self.stored, self.path = folder / "stored", folder / "mount"
        self._log = folder / "requests.log"
        self._options = options
        for path in (self.stored, self.path):
            path.mkdir()
        self._log.touch()
        self.mount()

    def mount(self):
        """Mount the store, again if the daemon was killed."""
        words = [f"{name}={value}" for name, value in self._options.items()]
        command = [sys.executable, __file__, self.stored, self.path, self._log, *words]
        self._daemon = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        while not os.path.ismount(self.path):
            if self._daemon.poll() is not None:
                raise RuntimeError(self._daemon.stderr.read())

    def requests(self):
        """The requests so far: pairs of name and path."""
        lines = self._log.read_text().splitlines()
        return [tuple(line.split(" ", 1)) for line in lines]

    def kill(self):
        """End the daemon as a machine that vanishes; content of open files is lost."""
        self._daemon.kill()
        self._daemon.communicate()
        subprocess.run(["umount", "--lazy", self.path], check=True)


@pytest.fixture
def mounts(tmp_path):
    """Makes mounts: mounts(append="no", …); skipped where the system has no FUSE."""
    if not os.access("/dev/fuse", os.W_OK):
        pytest.skip("no /dev/fuse that this user may open")
    try:
        import mfusepy  # noqa: F401
    except (ImportError, OSError) as exc:
        pytest.skip(f"no FUSE here (pip install mfusepy; apt-get install libfuse3-3): {exc}")
    made = []

    def make(**options):
        folder = tmp_path / f"store{len(made)}"
        folder.mkdir()
        made.append(Mount(folder, **options))
        return made[-1]

    yield make
    for mount in made:
        mount.kill()


def serve(folder, mount, log, **options):
    """Serve *folder* at *mount*."""
    from mfusepy import FUSE, FuseOSError, Operations

    lag = float(options.get("lag", 0))
    refused = FuseOSError(errno.EOPNOTSUPP)
    requests = os.open(log, os.O_WRONLY | os.O_APPEND)

    def stored(path):
        return folder + path

    def asks(name):
        """Log and delay a method's requests; changes of a read-only store are refused."""
        method = getattr(Store, name)

        @functools.wraps(method)
        def ask(self, path, *values):
            os.write(requests, f"{name} {path}\n".encode())
            time.sleep(lag)
            return method(self, path, *values)

        return ask

    def may_change():
        if options.get("ro") == "yes":
            raise FuseOSError(errno.EROFS)

    class Store(Operations):
        use_ns = True

        def __init__(self):
            self.opened = {}
            self.apart = Path(tempfile.mkdtemp(dir=Path(folder).parent))

        def getattr(self, path, handle=None):
            found = os.lstat(stored(path))
            facts = {name: getattr(found, name) for name in ATTRIBUTES}
            for name in ("st_atime", "st_ctime", "st_mtime"):
                facts[name] = getattr(found, f"{name}_ns")
            if handle in self.opened:
                facts["st_size"] = os.fstat(self.opened[handle][0]).st_size
            return facts

        def readdir(self, path, handle):
            return [".", "..", *os.listdir(stored(path))]

        def mkdir(self, path, mode):
            may_change()
            os.mkdir(stored(path), mode)

        def rmdir(self, path):
            may_change()
            os.rmdir(stored(path))

        def unlink(self, path):
            may_change()
            os.unlink(stored(path))

        def link(self, target, source):
            raise FuseOSError(errno.ENOSYS)

        def symlink(self, target, source):
            raise refused

        def chmod(self, path, mode):
            may_change()

        def chown(self, path, user, group):
            may_change()

        def utimens(self, path, times=None):
            may_change()

        def access(self, path, mode):
            if mode & os.W_OK:
                may_change()

        def rename(self, old, new):
            may_change()
            old, new = stored(old), stored(new)
            how = options.get("rename", "atomic")
            if how == "no":
                raise refused
            if how == "noover" and os.path.exists(new):
                raise FuseOSError(errno.EEXIST)
            if how == "copy" and os.path.isfile(old):
                shutil.copyfile(old, new)
                os.unlink(old)
            else:
                os.replace(old, new)

        def create(self, path, mode, flags=0):
            may_change()
            if flags & os.O_APPEND and options.get("append") == "no":
                raise refused
            made = os.open(stored(path), os.O_CREAT | os.O_WRONLY | flags & os.O_EXCL, mode)
            os.close(made)
            return self._open(path, os.O_RDWR)

        def open(self, path, flags):
            writes = flags & os.O_ACCMODE != os.O_RDONLY
            if writes:
                may_change()
            if writes and flags & os.O_APPEND and options.get("append", "yes") != "yes":
                raise refused
            return self._open(path, flags)

        def _open(self, path, flags):
            apart = None
            if flags & os.O_ACCMODE != os.O_RDONLY and options.get("visible") == "close":
                handle, apart = tempfile.mkstemp(dir=self.apart)
                if not flags & os.O_TRUNC:
                    Path(apart).write_bytes(Path(stored(path)).read_bytes())
            else:
                handle = os.open(stored(path), flags & (os.O_ACCMODE | os.O_TRUNC))
            self.opened[handle] = handle, apart
            return handle

        def read(self, path, size, offset, handle):
            return os.pread(handle, size, offset)

        def write(self, path, data, offset, handle):
            if options.get("random") == "no" and offset != os.fstat(handle).st_size:
                raise refused
            return os.pwrite(handle, data, offset)

        def truncate(self, path, length, handle=None):
            may_change()
            if options.get("random") == "no" and length:
                raise refused
            if handle is None:
                os.truncate(stored(path), length)
            else:
                os.ftruncate(handle, length)

        def fsync(self, path, datasync, handle):
            return 0

        def flush(self, path, handle):
            _, apart = self.opened[handle]
            if apart is not None and os.path.exists(stored(path)):
                shutil.copyfile(apart, stored(path))
            return 0

        def release(self, path, handle):
            _, apart = self.opened.pop(handle)
            if apart is not None:
                os.unlink(apart)
            os.close(handle)

        def statfs(self, path):
            found = os.statvfs(folder)
            return {name: getattr(found, name) for name in dir(found) if name.startswith("f_")}

    for name in REQUESTS:
        setattr(Store, name, asks(name))
    # What one process has written is not in the store yet: kept attributes would hide it from the others.
    seconds = "0" if options.get("visible") == "close" else options.get("cache", "1")
    kept = dict.fromkeys(("attr_timeout", "entry_timeout"), seconds)
    FUSE(Store(), mount, foreground=True, fsname="object-store", **kept)


if __name__ == "__main__":
    serve(*sys.argv[1:4], **dict(word.split("=", 1) for word in sys.argv[4:]))
