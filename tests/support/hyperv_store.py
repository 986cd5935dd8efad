"""Virtual machine configurations in the container that Hyper-V keeps them in, built for tests."""

import struct

NODE, MARK, TEXT = 9, 8, 6
_TABLE_AT, _TABLE_SIZE = 0x4000, 0x8000


def configuration(name, disks, merge_pending=None):
    """The bytes of a .vmcx of a machine of that name with these disks, and maybe the host's note on merges."""
    noted = {} if merge_pending is None else {"global_settings": {"disk_merge_pending": merge_pending}}
    drives = {f"drive{n}": {"type": "VHD", "pathname": path} for n, path in enumerate(disks)}
    return store({"configuration": {"properties": {"name": name}, "_guid_": {"controller0": drives}, **noted}})


def store(tree):
    """The bytes of a container with one key table, of nested mappings down to texts and marks."""
    header = struct.pack("<IIHIQIQQI", 0x01282014, 0, 1, 0x400, 0, 0x1000, 0x3000, 0x1000, 0x2E)
    objects = struct.pack("<II", 0x01110001, 1) + struct.pack("<BIQIB", 2, 0, _TABLE_AT, _TABLE_SIZE, 1)
    log = struct.pack("<IIIBIIIIIB", 0x01110003, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    table = bytearray(struct.pack("<HHHI", 2, 1, 1, 0))
    _put(table, tree, parent=(0, 0))
    parts = {0: header, 0x1000: header, 0x2000: objects, 0x3000: log, _TABLE_AT: bytes(table)}
    data = bytearray(_TABLE_AT + _TABLE_SIZE)
    for at, part in parts.items():
        data[at : at + len(part)] = part
    return bytes(data)


def _put(table, tree, parent):
    for key, value in tree.items():
        at = len(table)
        name = key.encode() + b"\0"
        text = value.encode("utf-16-le") if isinstance(value, str) else b""
        kind = {dict: NODE, bool: MARK}.get(type(value), TEXT)
        data = {NODE: bytes(12), MARK: struct.pack("<I", value is True)}.get(kind, struct.pack("<I", len(text)) + text)
        table += struct.pack("<HIHIIIB", kind, 21 + len(name) + len(data), *parent, 0, 0, len(name)) + name + data
        if isinstance(value, dict):
            _put(table, value, parent=(1, at))
