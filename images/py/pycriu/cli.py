# SPDX-License-Identifier: GPL-2.0-only
"""crit: shows and edits images."""
import argparse
import contextlib
import json
import os
import re
import sys

from . import explore, images


@contextlib.contextmanager
def _open_in(path, binary):
    if path:
        with open(path, "rb" if binary else "r", encoding=None if binary else "utf-8") as stream:
            yield stream
    else:
        yield sys.stdin.buffer if binary else sys.stdin


def _to_json(image, stream, pretty):
    json.dump(image, stream, indent=4 if pretty else None)
    if stream is sys.stdout:
        stream.write("\n")


def decode(args):
    with _open_in(args.input, True) as stream:
        image = images.load(stream, args.pretty)
    if args.output:
        with open(args.output, "w", encoding="utf-8") as stream:
            _to_json(image, stream, args.pretty)
    else:
        _to_json(image, sys.stdout, args.pretty)


def _crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


def _forget_digest(path):
    """An image that was edited is no longer what the dump wrote: its checksum goes. That of the inventory, without which the list
    is not whole, is taken anew."""
    folder, name = os.path.split(os.path.abspath(path))
    for digests in os.listdir(folder):
        if not re.fullmatch(r"digests-\d+", digests) or digests == name:
            continue
        with open(os.path.join(folder, digests), "rb") as stream:
            image = images.load(stream)
        kept = [entry for entry in image["entries"] if entry["name"] != name]
        if len(kept) == len(image["entries"]):
            continue
        if name == "inventory.img":
            with open(path, "rb") as stream:
                data = stream.read()
            kept.append({"name": name, "size": len(data), "crc32c": _crc32c(data)})
        data = images.dumps({"magic": image["magic"], "entries": kept})
        with open(os.path.join(folder, digests), "wb") as stream:
            stream.write(data)


def encode(args):
    with _open_in(args.input, False) as stream:
        image = json.load(stream)
    if not args.output:
        sys.stdout.buffer.write(images.dumps(image))
        return
    # Nothing is touched before it is known that the image can be made.
    images.dumps(image)
    with open(args.output, "wb") as stream:
        images.dump(image, stream)
    _forget_digest(args.output)


def info(args):
    with open(args.input, "rb") as stream:
        _to_json(images.info(stream), sys.stdout, True)


def show(args):
    with open(args.input, "rb") as stream:
        image = images.load(stream, True, args.nopl)
    _to_json(image, sys.stdout, True)


def explore_folder(args):
    explore.VIEWS[args.what](explore.Folder(args.dir))


def _parser():
    parser = argparse.ArgumentParser(prog="crit", description="Shows and edits the images of a checkpoint.")
    commands = parser.add_subparsers(dest="command", required=True, help="crit COMMAND --help tells more")

    command = commands.add_parser("decode", help="make JSON of an image")
    command.add_argument("--pretty", action="store_true", help="several lines, and numbers in a form fit for people")
    command.add_argument("-i", "--in", dest="input", metavar="IN", help="image to read (standard input)")
    command.add_argument("-o", "--out", dest="output", metavar="OUT", help="JSON to write (standard output)")
    command.set_defaults(run=decode)

    command = commands.add_parser("encode", help="make an image of JSON")
    command.add_argument("-i", "--in", dest="input", metavar="IN", help="JSON to read (standard input)")
    command.add_argument("-o", "--out", dest="output", metavar="OUT", help="image to write (standard output)")
    command.set_defaults(run=encode)

    command = commands.add_parser("info", help="say what an image is and count its entries")
    command.add_argument("input", metavar="in")
    command.set_defaults(run=info)

    command = commands.add_parser("x", help="explore a directory of images")
    command.add_argument("dir")
    command.add_argument("what", choices=list(explore.VIEWS))
    command.set_defaults(run=explore_folder)

    command = commands.add_parser("show", help="show an image to people")
    command.add_argument("input", metavar="in")
    command.add_argument("--nopl", action="store_true", help="leave payloads out")
    command.set_defaults(run=show)
    return parser


def main(argv=None):
    args = _parser().parse_args(argv)
    name = getattr(args, "input", None) or getattr(args, "dir", None) or "standard input"
    try:
        args.run(args)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output has seen enough; Python must not try to flush it again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except images.ImageError as error:
        print(f"crit: {name}: {error}", file=sys.stderr)
        return 1
    except (OSError, json.JSONDecodeError) as error:
        print(f"crit: {error}", file=sys.stderr)
        return 1
    return 0
