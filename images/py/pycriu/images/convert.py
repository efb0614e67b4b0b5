# SPDX-License-Identifier: GPL-2.0-only
"""
A message as a dictionary and back. "pretty" shows numbers the way the schema hints at: hexadecimal, names of flags and
constants, addresses, devices. Back both forms are taken.
"""
import base64
import os
import quopri
import socket
import struct

from google.protobuf.descriptor import FieldDescriptor as Field

from .schema import ImageError, hints_of

_INTS = {
    Field.TYPE_INT32, Field.TYPE_INT64, Field.TYPE_UINT32, Field.TYPE_UINT64, Field.TYPE_SINT32, Field.TYPE_SINT64,
    Field.TYPE_FIXED32, Field.TYPE_FIXED64, Field.TYPE_SFIXED32, Field.TYPE_SFIXED64,
}

# Names of bits, in the order they are shown.
_FLAGS = {
    "mmap.prot": {"PROT_READ": 0x1, "PROT_WRITE": 0x2, "PROT_EXEC": 0x4},
    "mmap.flags": {"MAP_SHARED": 0x1, "MAP_PRIVATE": 0x2, "MAP_ANON": 0x20, "MAP_GROWSDOWN": 0x100},
    "mmap.status": {
        "VMA_AREA_NONE": 0x0, "VMA_AREA_REGULAR": 0x1, "VMA_AREA_STACK": 0x2, "VMA_AREA_VSYSCALL": 0x4,
        "VMA_AREA_VDSO": 0x8, "VMA_AREA_HEAP": 0x20, "VMA_FILE_PRIVATE": 0x40, "VMA_FILE_SHARED": 0x80,
        "VMA_ANON_SHARED": 0x100, "VMA_ANON_PRIVATE": 0x200, "VMA_AREA_SYSVIPC": 0x400, "VMA_AREA_SOCKET": 0x800,
        "VMA_AREA_VVAR": 0x1000, "VMA_AREA_AIORING": 0x2000, "VMA_AREA_MEMFD": 0x4000, "VMA_AREA_SHSTK": 0x8000,
        "VMA_EXT_PLUGIN": 0x8000000, "VMA_UNSUPP": 0x80000000,
    },
    "rfile.flags": {
        "O_WRONLY": 0o1, "O_RDWR": 0o2, "O_CREAT": 0o100, "O_EXCL": 0o200, "O_NOCTTY": 0o400, "O_TRUNC": 0o1000,
        "O_APPEND": 0o2000, "O_NONBLOCK": 0o4000, "O_DSYNC": 0o10000, "FASYNC": 0o20000, "O_DIRECT": 0o40000,
        "O_LARGEFILE": 0o100000, "O_DIRECTORY": 0o200000, "O_NOFOLLOW": 0o400000, "O_NOATIME": 0o1000000,
        "O_CLOEXEC": 0o2000000,
    },
    "pmap.flags": {"PE_PARENT": 0x1, "PE_LAZY": 0x2, "PE_PRESENT": 0x4},
    "seals.flags": {
        "F_SEAL_SEAL": 0x1, "F_SEAL_SHRINK": 0x2, "F_SEAL_GROW": 0x4, "F_SEAL_WRITE": 0x8, "F_SEAL_FUTURE_WRITE": 0x10,
    },
}

_CONSTANTS = {
    "gen": {"task_state": {"Alive": 1, "Zombie": 3, "Stopped": 6}},
    "sk": {
        "family": {"UNIX": 1, "INET": 2, "INET6": 10, "NETLINK": 16, "PACKET": 17},
        "type": {"STREAM": 1, "DGRAM": 2, "RAW": 3, "SEQPACKET": 5, "PACKET": 10},
        "state": {
            "ESTABLISHED": 1, "SYN_SENT": 2, "SYN_RECV": 3, "FIN_WAIT1": 4, "FIN_WAIT2": 5, "TIME_WAIT": 6, "CLOSE": 7,
            "CLOSE_WAIT": 8, "LAST_ACK": 9, "LISTEN": 10,
        },
        "proto": {"IP": 0, "TCP": 6, "UDP": 17, "UDPLITE": 136},
    },
}


def encode_bytes(data):
    return base64.encodebytes(data).decode("ascii")


def decode_bytes(text):
    return base64.decodebytes(text.encode("ascii"))


def _flags_to_text(value, names):
    parts = [name for name, bit in names.items() if bit and value & bit]
    for bit in names.values():
        value &= ~bit
    if value:
        parts.append(hex(value))
    return " | ".join(parts)


def _text_to_flags(text, names):
    value = 0
    for part in text.split("|"):
        part = part.strip()
        if part in names:
            value |= names[part]
        elif part:
            value |= int(part, 0)
    return value


def _device_to_text(value, is_libc):
    if is_libc:
        return f"{os.major(value)}:{os.minor(value)}"
    return f"{value >> 20}:{value & 0xfffff}"


def _text_to_device(text, is_libc):
    major, minor = (int(part, 0) for part in text.split(":"))
    return os.makedev(major, minor) if is_libc else major << 20 | minor


def _address_to_text(words):
    family = socket.AF_INET6 if len(words) == 4 else socket.AF_INET
    if len(words) not in (1, 4):
        return None
    return socket.inet_ntop(family, struct.pack(f"={len(words)}I", *words))


def _text_to_address(text):
    packed = socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)
    return list(struct.unpack(f"={len(packed) // 4}I", packed))


def _constants(field, hints):
    return _CONSTANTS.get(hints.dict, {}).get(field.name, {})


def _int_to_json(field, hints, value, is_hex):
    if hints.flags:
        return _flags_to_text(value, _FLAGS[hints.flags])
    if hints.dev:
        return _device_to_text(value, hints.odev)
    if hints.dict:
        for name, constant in _constants(field, hints).items():
            if constant == value:
                return name
        return value
    return hex(value) if is_hex else value


def _value_to_json(field, value, pretty, is_hex):
    hints = hints_of(field)
    is_hex = is_hex or hints.hex
    if field.type == Field.TYPE_MESSAGE:
        return to_dict(value, pretty, is_hex)
    if field.type == Field.TYPE_BYTES:
        if hints.conv == "unix_name":
            return quopri.encodestring(value, quotetabs=True).replace(b"=\n", b"").decode("ascii")
        return encode_bytes(value)
    if field.type == Field.TYPE_ENUM:
        known = field.enum_type.values_by_number.get(value)
        return known.name if known else value
    if field.type in _INTS and pretty:
        return _int_to_json(field, hints, value, is_hex)
    return value


def to_dict(message, pretty=False, is_hex=False):
    """The fields that are set, by name, in the order of their numbers."""
    result = {}
    for field, value in message.ListFields():
        if field.label != Field.LABEL_REPEATED:
            result[field.name] = _value_to_json(field, value, pretty, is_hex)
            continue
        address = _address_to_text(list(value)) if pretty and hints_of(field).ipadd else None
        if address:
            result[field.name] = [address]
        else:
            result[field.name] = [_value_to_json(field, item, pretty, is_hex) for item in value]
    return result


def _json_to_int(field, value):
    hints = hints_of(field)
    if not isinstance(value, str):
        return int(value)
    if hints.flags:
        return _text_to_flags(value, _FLAGS[hints.flags])
    if hints.dev and ":" in value:
        return _text_to_device(value, hints.odev)
    if value in _constants(field, hints):
        return _constants(field, hints)[value]
    return int(value, 0)


def _json_to_value(field, value):
    if field.type in _INTS:
        return _json_to_int(field, value)
    if field.type == Field.TYPE_ENUM:
        if not isinstance(value, str):
            return int(value)
        if value in field.enum_type.values_by_name:
            return field.enum_type.values_by_name[value].number
        return int(value, 0)
    if field.type == Field.TYPE_BYTES:
        if hints_of(field).conv == "unix_name":
            return quopri.decodestring(value.encode("ascii"))
        return decode_bytes(value)
    if field.type == Field.TYPE_BOOL:
        return bool(value)
    return value


def _fill_repeated(message, field, values):
    target = getattr(message, field.name)
    if field.type == Field.TYPE_MESSAGE:
        for value in values:
            from_dict(target.add(), value)
    elif hints_of(field).ipadd and len(values) == 1 and isinstance(values[0], str):
        target.extend(_text_to_address(values[0]))
    else:
        target.extend(_json_to_value(field, value) for value in values)


def from_dict(message, values):
    """Fills message with what to_dict() made of one; "extra", the payload, is not for it."""
    for name, value in values.items():
        field = message.DESCRIPTOR.fields_by_name.get(name)
        if field is None:
            raise ImageError(f"{message.DESCRIPTOR.name} has no field {name!r}")
        try:
            if field.label == Field.LABEL_REPEATED:
                _fill_repeated(message, field, value)
            elif field.type == Field.TYPE_MESSAGE:
                target = getattr(message, name)
                target.SetInParent()
                from_dict(target, value)
            else:
                setattr(message, name, _json_to_value(field, value))
        except (AttributeError, KeyError, OSError, TypeError, ValueError) as error:
            raise ImageError(f"{message.DESCRIPTOR.name}.{name}: {error}") from error
