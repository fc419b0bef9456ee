"""Power cuts on a real disk: a server runs with `power_cut.c` in front of the C library, and its directory is put back
as the last syncs have left it."""
import pathlib
import shutil
import subprocess

SOURCE = pathlib.Path(__file__).with_name("power_cut.c")


def compile_library(directory):
    library = directory / "power_cut.so"
    compiler = shutil.which("cc") or shutil.which("clang")
    assert compiler, "a C compiler is needed, as for the program itself"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", library, SOURCE, "-ldl"], check=True)
    return library


class Disk:
    """A directory that can lose its power."""

    def __init__(self, library, directory):
        directory.mkdir(parents=True)
        self.root = directory / "data"
        self.kept = directory / "kept"
        self.library = library
        self._forget()

    def _forget(self):
        shutil.rmtree(self.kept, ignore_errors=True)
        for kind in ("files", "names", "links"):
            (self.kept / kind).mkdir(parents=True)

    @property
    def environment(self):
        """For the process that writes to it. What is there when it starts is taken as synced."""
        return {
            "LD_PRELOAD": str(self.library), "POWER_CUT_ROOT": str(self.root), "POWER_CUT_KEPT": str(self.kept)
        }

    def cut(self):
        """The power is gone, and its process with it: makes the directory what the last syncs have left."""
        left = self.root.with_name("left")
        self._restore(self.root, left)
        shutil.rmtree(self.root)
        left.rename(self.root)
        self._forget()
        self._keep_all(self.root)

    def _restore(self, place, left):
        left.mkdir()
        names = self.kept / "names" / str(place.stat().st_ino)
        for line in names.read_text().splitlines() if names.exists() else ():
            kind, inode, name = line.split(" ", 2)
            if kind == "d":
                self._restore(place / name, left / name)
                continue
            synced = self.kept / "files" / inode
            if synced.exists():
                shutil.copyfile(synced, left / name)
            else:
                (left / name).touch()

    def _keep_all(self, place):
        names = []
        for entry in place.iterdir():
            inode = entry.stat().st_ino
            names.append(f"{'d' if entry.is_dir() else 'f'} {inode} {entry.name}\n")
            if entry.is_dir():
                self._keep_all(entry)
            else:
                shutil.copyfile(entry, self.kept / "files" / str(inode))
                (self.kept / "links" / str(inode)).hardlink_to(entry)
        (self.kept / "names" / str(place.stat().st_ino)).write_text("".join(names))
