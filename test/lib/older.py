# SPDX-License-Identifier: GPL-2.0-only
"""An older kernel for one command: a seccomp filter refuses what Linux 6.1 did not have yet, as that refuses it. Which ways the tool has
without are shown so; what else is different there is not. Only for dumps: what a restore makes would keep the filter."""

import ctypes
import errno
import struct

PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 22, 2
ALLOW, REFUSE = 0x7FFF0000, 0x00050000

LOAD, EQUAL, MASK, RETURN = 0x20, 0x15, 0x54, 0x06
NUMBER = 0
IOCTL, MADVISE = 16, 28


def argument(i):
    """Where the lower half of a system call's argument is."""
    return 16 + 8 * i


# What, of which system call, is refused: argument, mask, value, error.
REFUSED = (
    (IOCTL, 1, 0xFFFF, 0x6610, errno.ENOTTY),  # PAGEMAP_SCAN, 6.7
    (IOCTL, 1, 0xFFFF, 0x6611, errno.ENOTTY),  # PROCMAP_QUERY, 6.11
    (IOCTL, 1, 0xFF00, 0xFF00, errno.ENOTTY),  # of pidfds, 6.11 and later
    (MADVISE, 2, 0xFFFF, 25, errno.EINVAL),    # MADV_COLLAPSE, 6.1
)
# bpf(2), to which a kernel without CONFIG_BPF_SYSCALL says so; statmount, listmount (6.8), mseal (6.10).
MISSING = (321, 457, 458, 462)


def _program():
    code = []
    for call, place, mask, value, error in REFUSED:
        code += [(LOAD, 0, 0, NUMBER), (EQUAL, 0, 4, call), (LOAD, 0, 0, argument(place)), (MASK, 0, 0, mask), (EQUAL, 0, 1, value),
                 (RETURN, 0, 0, REFUSE | error)]
    for call in MISSING:
        code += [(LOAD, 0, 0, NUMBER), (EQUAL, 0, 1, call), (RETURN, 0, 0, REFUSE | errno.ENOSYS)]
    code += [(RETURN, 0, 0, ALLOW)]
    return code


def kernel():
    """For preexec_fn."""
    program = _program()
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in program))
    fprog = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program), ctypes.addressof(code)))
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, fprog, 0, 0) < 0:
        raise OSError(ctypes.get_errno(), "seccomp")
