"""Ctrl-C, SIGTERM and SIGHUP end a command alike: by one KeyboardInterrupt, which lets everything be put in order.

Python runs a handler when the main thread is back in Python: the kernel that is running, or the network that is being
compiled, is finished first. Further signals are ignored, so that none cuts short what the first one began.
"""

import os
import signal
import sys
import threading
from types import FrameType
from typing import Any

_ANSWERED = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
_received: int | None = None


def listen() -> None:
    """Answers the signals of this process from now on."""
    _set(_interrupt)
    sys.unraisablehook = _send_again


def ignore() -> None:
    """Ignores them: the command is at its end, and its status is known."""
    _set(signal.SIG_IGN)


def received() -> bool:
    """Whether a signal came."""
    return _received is not None


def status() -> int:
    """The exit status that tells of the signal: 128 and its number."""
    return 128 + (signal.SIGINT if _received is None else _received)


def _set(handler: Any) -> None:
    for number in _ANSWERED:
        # Whoever starts a program with a signal ignored, such as nohup, means it.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)


def _interrupt(number: int, frame: FrameType | None) -> None:
    global _received
    if _received is None:
        _received = number
        raise KeyboardInterrupt


def _send_again(lost: Any) -> None:
    """Python drops what is raised in finalisers and callbacks. An interrupt must not get lost there."""
    global _received
    if isinstance(lost.exc_value, KeyboardInterrupt) and _received is not None:
        number, _received = _received, None
        threading.Timer(0.01, os.kill, (os.getpid(), number)).start()
    else:
        sys.__unraisablehook__(lost)
