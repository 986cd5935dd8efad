"""NTFS written by ntfs-3g's own library, without mounting anything. Run as a program, so that it ends by itself.

python ntfs_library.py IMAGE < by marshal, a list of ("write", PATH, BYTES) and the like
"""

import ctypes
import ctypes.util
import marshal
import sys
from functools import cache
from pathlib import Path

_FILE, _DIRECTORY = 0o100000, 0o040000
_DATA, _REPARSE, _COMPRESSED = 0x80, 0xC0, 0x800


@cache
def library_path():
    """Where the library is; None where it is not installed."""
    found = next((str(path) for path in Path("/usr/lib").glob("*/libntfs-3g.so.*")), None)
    return found or ctypes.util.find_library("ntfs-3g")  # which starts programs


class Ntfs:
    """A volume, mounted inside the library alone."""

    def __init__(self, image):
        self.lib = ctypes.CDLL(library_path(), use_errno=True)
        for name in ("ntfs_mount", "ntfs_pathname_to_inode", "ntfs_create", "ntfs_attr_open"):
            getattr(self.lib, name).restype = ctypes.c_void_p
        self.lib.ntfs_attr_pwrite.restype = ctypes.c_int64
        self.vol = self._sound(self.lib.ntfs_mount(str(image).encode(), 0))

    def close(self):
        self._zero(self.lib.ntfs_umount(ctypes.c_void_p(self.vol), 0))

    def write(self, path, data):
        """A file with that content, made where there is none."""
        node = self._find(path) or self._make(path, _FILE)
        self._put(node, "", data)

    def poke(self, path, offset, data):
        """Bytes within a file, and nothing else: neither its size nor its times."""
        node = self._find(path)
        attribute = self._attribute(node, "")
        raw = data
        self._pwrite(attribute, offset, raw)
        self.lib.ntfs_attr_close(ctypes.c_void_p(attribute))
        self._close(node)

    def grow(self, path, size):
        """A file of that size: what is new is a hole."""
        node = self._find(path) or self._make(path, _FILE)
        attribute = self._attribute(node, "")
        self._zero(self.lib.ntfs_attr_truncate(ctypes.c_void_p(attribute), ctypes.c_int64(size)))
        self.lib.ntfs_attr_close(ctypes.c_void_p(attribute))
        self._close(node)

    def stream(self, path, name, data):
        """An alternate stream."""
        node, raw = self._find(path), name.encode("utf-16-le")
        self._zero(
            self.lib.ntfs_attr_add(
                ctypes.c_void_p(node), _DATA, raw, ctypes.c_uint8(len(name)), None, ctypes.c_int64(0)
            )
        )
        self._put(node, name, data)

    def reparse(self, path, data):
        """A reparse point: what Windows takes for a link, or keeps elsewhere."""
        node, raw = self._find(path), data
        size = ctypes.c_int64(len(raw))
        self._zero(self.lib.ntfs_attr_add(ctypes.c_void_p(node), _REPARSE, None, ctypes.c_uint8(0), raw, size))
        self._close(node)

    def mkdir(self, path):
        """A folder."""
        self._close(self._make(path, _DIRECTORY))

    def compress(self, path):
        """Files made in the folder from now on are compressed."""
        node = self._find(path)
        value = _COMPRESSED.to_bytes(4, "little")
        self._zero(self.lib.ntfs_set_ntfs_attrib(ctypes.c_void_p(node), value, ctypes.c_size_t(4), 0))
        self._close(node)

    def remove(self, path):
        """Gone: a file or an empty folder."""
        folder, name = self._split(path)
        raw = name.encode("utf-16-le")
        self._zero(
            self.lib.ntfs_delete(
                ctypes.c_void_p(self.vol), None, ctypes.c_void_p(self._find(path)), ctypes.c_void_p(self._find(folder)),
                raw, ctypes.c_uint8(len(name)),
            )
        )  # fmt: skip

    def link(self, path, another):
        """A second name for a file."""
        folder, name = self._split(another)
        node, above = self._find(path), self._find(folder)
        raw = name.encode("utf-16-le")
        self._zero(self.lib.ntfs_link(ctypes.c_void_p(node), ctypes.c_void_p(above), raw, ctypes.c_uint8(len(name))))
        self._close(node)
        self._close(above)

    def rename(self, path, another):
        """As the driver does it: a second name, then the first one away."""
        self.link(path, another)
        self.remove(path)

    def times(self, path, modified):
        """When a file was made, modified and read: hundreds of nanoseconds since 1601."""
        node = self._find(path)
        value = int(modified).to_bytes(8, "little") * 3
        self._zero(self.lib.ntfs_inode_set_times(ctypes.c_void_p(node), value, ctypes.c_size_t(24), 0))
        self._close(node)

    def _put(self, node, name, data):
        attribute = self._attribute(node, name)
        self._zero(self.lib.ntfs_attr_truncate(ctypes.c_void_p(attribute), ctypes.c_int64(0)))
        if data:
            self._pwrite(attribute, 0, data)
            self.lib.ntfs_attr_pclose(ctypes.c_void_p(attribute))
        self.lib.ntfs_attr_close(ctypes.c_void_p(attribute))
        self._close(node)

    def _pwrite(self, attribute, offset, data):
        count = ctypes.c_int64(len(data))
        done = self.lib.ntfs_attr_pwrite(ctypes.c_void_p(attribute), ctypes.c_int64(offset), count, data)
        assert done == len(data)

    def _attribute(self, node, name):
        unnamed = ctypes.addressof((ctypes.c_uint16 * 1).in_dll(self.lib, "AT_UNNAMED"))
        raw = name.encode("utf-16-le") if name else ctypes.c_void_p(unnamed)
        return self._sound(self.lib.ntfs_attr_open(ctypes.c_void_p(node), _DATA, raw, ctypes.c_uint32(len(name))))

    def _make(self, path, mode):
        folder, name = self._split(path)
        above, raw = self._find(folder), name.encode("utf-16-le")
        made = self._sound(
            self.lib.ntfs_create(ctypes.c_void_p(above), ctypes.c_uint32(0), raw, ctypes.c_uint8(len(name)), mode)
        )
        self._close(above)
        return made

    def _find(self, path):
        return self.lib.ntfs_pathname_to_inode(ctypes.c_void_p(self.vol), None, path.encode())

    def _split(self, path):
        folder, _, name = path.rpartition("/")
        return folder or "/", name

    def _close(self, node):
        self._zero(self.lib.ntfs_inode_close(ctypes.c_void_p(node)))

    def _sound(self, pointer):
        assert pointer, ctypes.get_errno()
        return pointer

    def _zero(self, result):
        assert result == 0, ctypes.get_errno()


def main():
    volume = Ntfs(sys.argv[1])
    for name, *arguments in marshal.load(sys.stdin.buffer):  # noqa: S302 - what a test has written
        getattr(volume, name)(*arguments)
    volume.close()


if __name__ == "__main__":
    main()
