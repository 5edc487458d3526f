"""Becomes another program, tied to the process that asked for it: `python launch.py SIGNAL PARENT USER -- ARGV..`.

Run as a script, never imported: it must start in milliseconds and needs nothing but the standard library. The process
id stays the same. On Linux the kernel sends SIGNAL when the parent dies, so kill -9 of the parent leaves no orphan;
other systems have no such call, and the next `moselle up` ends what was left.

USER is `-`, or an account to become. The embedded PostgreSQL refuses to run as root but must reach a state folder that
only root may enter (a clone under /root), so it keeps root's right to pass file permissions, and none of the others.
"""

import ctypes
import os
import pwd
import sys

PR_SET_PDEATHSIG = 1
PR_SET_KEEPCAPS = 8
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
CAP_DAC_OVERRIDE = 1
CAPABILITY_VERSION_3 = 0x20080522


def main(argv: list[str]) -> None:
    """Never returns: the program of `argv` takes over, or the exit code says why not."""
    death_signal, parent, user = int(argv[0]), int(argv[1]), argv[2]
    command = argv[4:]
    os.setsid()
    if user != "-":
        become(user)
    if sys.platform == "linux":
        # After `become`: the kernel forgets the death signal when credentials change.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, death_signal)
        if os.getppid() != parent:
            sys.exit("the process that started this one is gone")
    os.execvp(command[0], command)


def become(user: str) -> None:
    """Takes the account's uid and gid, keeping CAP_DAC_OVERRIDE where the system lets us."""
    account = pwd.getpwnam(user)
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setgroups([])
    os.setresgid(account.pw_gid, account.pw_gid, account.pw_gid)
    os.setresuid(account.pw_uid, account.pw_uid, account.pw_uid)
    os.environ["HOME"] = account.pw_dir
    keep_folder_capability(libc)


def keep_folder_capability(libc: ctypes.CDLL) -> None:
    """Leaves CAP_DAC_OVERRIDE alone in all sets, the ambient one included, so that it survives exec."""
    bit = 1 << CAP_DAC_OVERRIDE
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    # effective, permitted, inheritable for capabilities 0-31, then the same for 32-63
    data = (ctypes.c_uint32 * 6)(bit, bit, bit, 0, 0, 0)
    if libc.capset(header, data) == 0:
        libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE, 0, 0)


if __name__ == "__main__":
    main(sys.argv[1:])
