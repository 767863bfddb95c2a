"""The C++ compiler that the compiled and the native engine call."""

import os
import shlex
import shutil
import sys
from collections.abc import Sequence


class CannotCompile(Exception):
    """The error raised if this machine cannot compile a program; its message is a one-line reason."""


def compiler_command() -> list[str]:
    """Return the command of the C++ compiler: that of the environment variable CXX, or the system's usual one."""
    usual = "clang++" if sys.platform == "darwin" else "g++"
    return shlex.split(os.environ.get("CXX", "")) or [usual]


def no_compiler_reason(names: Sequence[str]) -> str | None:
    """Return why there is no C++ compiler among the given programs, or None if there is one."""
    if any(shutil.which(name) for name in names):
        return None
    return f"there is no C++ compiler {' or '.join(names)} (install g++, or set CXX)"
