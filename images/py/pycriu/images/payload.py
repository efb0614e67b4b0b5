# SPDX-License-Identifier: GPL-2.0-only
"""
What follows an entry, as the value of "extra" in JSON: base64 mostly, parts of it by name for a TCP stream, numbers for
semaphores, and alternately message and text for message queues. Driven by the last column of images/images.def.
"""
import re
import struct

from .convert import decode_bytes, encode_bytes, from_dict, to_dict
from .schema import ImageError, new_message

_RULE = re.compile(r"(?P<fields>[a-z_+]+)(?:\*(?P<times>\d+))?(?:\|(?P<unit>\d+))?")


def read_exactly(stream, length):
    data = stream.read(length)
    if len(data) != length:
        raise ImageError(f"ends too early: {len(data)} bytes are left where {length} are announced")
    return data


def read_message(stream, name):
    """The next entry, or None at the end."""
    head = stream.read(4)
    if not head:
        return None
    if len(head) != 4:
        raise ImageError("ends within the size of an entry")
    message = new_message(name)
    message.ParseFromString(read_exactly(stream, struct.unpack("<I", head)[0]))
    return message


def write_message(stream, message):
    packed = message.SerializeToString()
    stream.write(struct.pack("<I", len(packed)) + packed)


def shorten(length):
    """What is shown in place of a payload that was not asked for."""
    size, units = float(length), ["B", "KB", "MB", "GB", "TB"]
    while size >= 1024 and len(units) > 1:
        size /= 1024
        units.pop(0)
    return f"... <{size:.1f}{units[0]}>" if units[0] != "B" else f"... <{length}B>"


def _rule_of(kind, message):
    """Lengths of the parts by the field that says so, and the padding behind them."""
    rule = _RULE.fullmatch(kind.payload)
    if not rule or getattr(message, "in_pagemaps", False):
        return None, 0
    times = int(rule["times"] or 1)
    lengths = {field: getattr(message, field) * times for field in rule["fields"].split("+")}
    return lengths, -sum(lengths.values()) % int(rule["unit"] or 1)


def _read_queue(stream, kind, entry, no_payload):
    items, total = [], 0
    for _ in range(entry.qnum):
        message = read_message(stream, kind.rest)
        if message is None:
            raise ImageError("ends before the last message of a queue")
        text = read_exactly(stream, message.msize)
        read_exactly(stream, -message.msize % 8)
        items += [to_dict(message), encode_bytes(text)]
        total += len(text)
    return shorten(total) if no_payload else items


def _read_ghost(stream, kind, message, no_payload):
    if message.DESCRIPTOR.name == kind.rest:
        data = read_exactly(stream, message.len)
        return None if no_payload else encode_bytes(data)
    if message.chunks:
        return None
    data = stream.read()
    return shorten(len(data)) if no_payload else encode_bytes(data)


def read_payload(stream, kind, message, no_payload=False):
    """The value of "extra" for an entry just read, or None if it has none."""
    if kind.payload == "rest":
        return _read_ghost(stream, kind, message, no_payload)
    if kind.id == "IPCNS_MSG":
        return _read_queue(stream, kind, message, no_payload)
    lengths, padding = _rule_of(kind, message)
    if lengths is None:
        return None
    parts = {field: read_exactly(stream, length) for field, length in lengths.items()}
    read_exactly(stream, padding)
    data = b"".join(parts.values())
    if no_payload:
        return shorten(len(data))
    if kind.id == "TCP_STREAM":
        return {field[:-len("_len")]: encode_bytes(part) for field, part in parts.items()}
    if kind.id == "IPCNS_SEM":
        return list(struct.unpack(f"<{len(data) // 2}H", data))
    return encode_bytes(data)


def _write_queue(stream, kind, items):
    if len(items) % 2:
        raise ImageError("extra of a message queue: a message without text")
    for values, text in zip(items[::2], items[1::2]):
        message = new_message(kind.rest)
        from_dict(message, values)
        data = decode_bytes(text)
        write_message(stream, message)
        stream.write(data + bytes(-len(data) % 8))


def _extra_to_bytes(kind, extra):
    if kind.id == "TCP_STREAM":
        return decode_bytes(extra["inq"]) + decode_bytes(extra["outq"])
    if kind.id == "IPCNS_SEM":
        return struct.pack(f"<{len(extra)}H", *extra)
    return decode_bytes(extra)


def write_payload(stream, kind, message, extra):
    if kind.id == "IPCNS_MSG":
        _write_queue(stream, kind, extra or [])
        return
    if extra is None:
        return
    data = _extra_to_bytes(kind, extra)
    lengths, padding = (None, 0) if kind.payload == "rest" else _rule_of(kind, message)
    # What an older crit made of the entries behind a segment without payload.
    if lengths is None and kind.payload != "rest":
        return
    if lengths is not None and sum(lengths.values()) != len(data):
        raise ImageError(f"extra has {len(data)} bytes, {' + '.join(lengths)} announces {sum(lengths.values())}")
    stream.write(data + bytes(padding))
