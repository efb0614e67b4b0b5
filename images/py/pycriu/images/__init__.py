# SPDX-License-Identifier: GPL-2.0-only
"""
Images as dictionaries: load() and loads() read one, dump() and dumps() write one, info() counts its entries.

    with open("pstree.img", "rb") as stream:
        tree = load(stream)
    tree["entries"][0]["pid"]
"""
import io
import os
import struct

from google.protobuf.message import DecodeError, EncodeError

from .convert import from_dict, to_dict
from .payload import read_message, read_payload, write_message, write_payload
from .schema import MAGIC_COMMON, MAGIC_SERVICE, ImageError, kind_by_magic, kind_by_name, kind_by_tag, new_message

__all__ = ["ImageError", "load", "loads", "dump", "dumps", "info"]


def _read_kind(stream):
    head = stream.read(4)
    if head in (struct.pack("<I", MAGIC_COMMON), struct.pack("<I", MAGIC_SERVICE)):
        head = stream.read(4)
    if len(head) != 4:
        raise ImageError("ends before its magic")
    return kind_by_magic(struct.unpack("<I", head)[0])


def _entries(stream, kind, no_payload):
    """Each message and its payload."""
    name = kind.entry
    while True:
        message = read_message(stream, name)
        if message is None:
            return
        yield message, read_payload(stream, kind, message, no_payload)
        if kind.rest != "none" and kind.id != "IPCNS_MSG":
            name = kind.rest


def _bare_kind(stream):
    """Images of plugins are a size and a message, without a magic: only the name of the file says which."""
    name = getattr(stream, "name", None)
    kind = kind_by_name(os.path.basename(name)) if isinstance(name, str) else None
    return kind if kind and kind.framing == "BARE" else None


def load(stream, pretty=False, no_payload=False):
    """Reads an image from a binary stream."""
    kind = _bare_kind(stream)
    number = 0
    try:
        if kind:
            message = new_message(kind.entry)
            data = stream.read()
            if len(data) < 8 or struct.unpack("<Q", data[:8])[0] != len(data) - 8:
                raise ImageError("is not of the size that it says")
            message.ParseFromString(data[8:])
            return {"magic": kind.id, "entries": [to_dict(message, pretty)]}
        kind = _read_kind(stream)
        entries = []
        for message, extra in _entries(stream, kind, no_payload):
            values = to_dict(message, pretty)
            if extra is not None:
                values["extra"] = extra
            entries.append(values)
            number += 1
    except (DecodeError, ImageError) as error:
        where = f"{kind.id} entry {number}: " if kind else ""
        raise ImageError(f"{where}{error}") from error
    return {"magic": kind.tag, "entries": entries}


def loads(data, pretty=False):
    return load(io.BytesIO(data), pretty)


def _dump_entries(image, kind, stream):
    name = kind.entry
    for values in image["entries"]:
        values = dict(values)
        extra = values.pop("extra", None)
        message = new_message(name)
        from_dict(message, values)
        write_message(stream, message)
        write_payload(stream, kind, message, extra)
        if kind.rest != "none" and kind.id != "IPCNS_MSG":
            name = kind.rest


def dump(image, stream):
    """Writes what load() gave to a binary stream."""
    try:
        kind = kind_by_tag(image["magic"])
        if kind.framing == "BARE":
            message = new_message(kind.entry)
            from_dict(message, image["entries"][0])
            data = message.SerializeToString()
            stream.write(struct.pack("<Q", len(data)) + data)
            return
        if kind.framing == "COMMON":
            stream.write(struct.pack("<I", MAGIC_COMMON))
        elif kind.framing == "SERVICE":
            stream.write(struct.pack("<I", MAGIC_SERVICE))
        stream.write(struct.pack("<I", kind.magic))
        _dump_entries(image, kind, stream)
    except (EncodeError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise ImageError(str(error)) from error


def dumps(image):
    stream = io.BytesIO()
    dump(image, stream)
    return stream.getvalue()


def info(stream):
    """Kind and number of entries."""
    kind = _bare_kind(stream) or _read_kind(stream)
    if kind.framing == "BARE":
        return {"magic": kind.id, "count": 1}
    try:
        count = sum(1 for _ in _entries(stream, kind, True))
    except DecodeError as error:
        raise ImageError(str(error)) from error
    return {"magic": kind.tag, "count": count - (1 if kind.rest == "pagemap_entry" and count else 0)}
