# SPDX-License-Identifier: GPL-2.0-only
"""
The kinds of images (images/images.def) and the message types their entries have. The modules made by protoc lie beside
this one as <name>_pb2.py.
"""
import collections
import importlib
import os
import re

from . import opts_pb2
from .kinds import KINDS

MAGIC_COMMON = 0x54564319
MAGIC_SERVICE = 0x55105940

Kind = collections.namedtuple("Kind", "id pattern magic tag framing count entry rest payload")

_KINDS = [Kind(*line) for line in KINDS]


class ImageError(Exception):
    """An image, or its JSON, is not what it should be."""


def _load_types():
    types = {}
    for name in sorted(os.listdir(os.path.dirname(__file__))):
        if name.endswith("_pb2.py"):
            module = importlib.import_module("." + name[:-3], __package__)
            for type_name in module.DESCRIPTOR.message_types_by_name:
                types[type_name] = getattr(module, type_name)
    return types


_TYPES = _load_types()


def new_message(name):
    return _TYPES[name]()


def hints_of(field):
    """How people want to see a field."""
    return field.GetOptions().Extensions[opts_pb2.criu]


def kind_by_magic(magic):
    for kind in _KINDS:
        if kind.magic == magic and kind.entry != "none":
            return kind
    raise ImageError(f"unknown magic {magic:#x}: an image of raw data, such as pages, is not for crit")


def kind_by_tag(tag):
    for kind in _KINDS:
        # Those without a magic go by their id.
        if (kind.tag or kind.id) == tag and kind.entry != "none":
            return kind
    raise ImageError(f"unknown kind of image: {tag!r}")


def kind_by_name(name):
    """The kind of a file name, or None: for images without a magic."""
    for kind in _KINDS:
        pattern = re.escape(kind.pattern).replace("%u", "[0-9]+").replace("%x", "[0-9a-f]+")
        if re.fullmatch(pattern, name):
            return kind
    return None
