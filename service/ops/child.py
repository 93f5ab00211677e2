"""A child process that the kernel ends with its parent, however that ends.

A process between asks for it, as code between fork and exec is unsafe once other threads run.
"""

import os
import signal
import sys

# PR_SET_PDEATHSIG follows the thread that forks: a command from here is started by the main thread.
_LAUNCHER = """
import ctypes, os, sys
parent, signal, *command = sys.argv[1:]
if ctypes.CDLL(None).prctl(1, int(signal), 0, 0, 0):
    sys.exit("Error: the kernel knows no parent-death signal")
if os.getppid() != int(parent):
    sys.exit("Error: the parent has gone")
os.execv(command[0], command)
"""


def ending_with_us(command: list[str], by: signal.Signals) -> list[str]:
    """The command, to be started by this process, such that it gets the signal when this process has ended.

    Only Linux has such a signal: on other systems a killed parent leaves the child behind.
    """
    if sys.platform != "linux":
        return command
    return [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid()), str(by.value), *command]
