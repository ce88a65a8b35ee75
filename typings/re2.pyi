# google-re2: what layerfs uses of it.

from typing import Any

_re2: Any  # the native module

class Options:
    """How an expression is compiled."""

    class Encoding:
        """What text is."""

        LATIN1: Any

    encoding: Any
    log_errors: bool
    never_capture: bool
    longest_match: bool
    max_mem: int
