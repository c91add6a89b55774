"""Errors that a person reads: one sentence, a hint, and the exit code that says whose turn it is.

Exit codes (the contract with the panel and with scripts): 0 done or stopped on request,
2 bad input or settings, 3 out of memory, 4 environment, 1 anything else.
"""

from __future__ import annotations

import errno


class SwinSSLError(Exception):
    """Base of all errors that are meant to be read by a user.

    Args:
        message: one plain sentence that names the file or the setting.
        hint: what to do about it; may be empty.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        #: Whether a listener has heard it already, as an event of a job.
        self.told = False
        #: Whether another process of the run says it, so that this one keeps silent.
        self.quiet = False


class InputError(SwinSSLError):
    """A file, folder or setting that cannot be used as it is."""

    exit_code = 2


class MemoryShortage(SwinSSLError):
    """The job does not fit into the memory of the machine or the device."""

    exit_code = 3


class EnvironmentProblem(SwinSSLError):
    """Something is missing around the job: a package, a device, a permission of the system."""

    exit_code = 4


def one_line(text: object, most: int = 300) -> str:
    """Words out of a file as they can stand in a sentence: one line of signs that can be written, not endless."""
    plain = "".join(sign if sign.isprintable() else " " for sign in str(text)[: most + 1])
    return plain if len(plain) <= most else f"{plain[:most]}…"


def is_shortage(error: BaseException) -> bool:
    """Whether an error means too little memory; torch has no type of its own for that of processors."""
    # The last is what oneDNN says of a convolution that it has no room for.
    words = ("out of memory", "not enough memory", "allocate memory", "could not create a primitive")
    return (
        isinstance(error, MemoryError)
        or (isinstance(error, OSError) and error.errno == errno.ENOMEM)
        or any(word in str(error) for word in words)
    )
