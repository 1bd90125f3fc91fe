"""`python -m byom.serve byom.asgi:application …`: uvicorn with all of its options, with the bounds
of `byom.bounded_http`, and with as many open files as the system lets it have.

The bounds are put in at import, as each of uvicorn's workers imports this module anew; the number
of files they inherit.
"""

from __future__ import annotations

from contextlib import suppress

import uvicorn
from uvicorn.config import HTTP_PROTOCOLS

HTTP_PROTOCOLS["auto"] = "byom.bounded_http:BoundedHttp"
FILES = 65_536  # a stream takes two: the client's connection, and the provider's


def allow_open_files(wanted: int = FILES) -> int | None:
    """Raises the soft limit of open files to `wanted`, as far as the hard one lets it, and says
    what it is now; None where there is no such limit. Many systems begin with 1,024."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return None
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if most > soft:
        with suppress(OSError, ValueError):  # macOS has another limit behind this one
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


if __name__ == "__main__":
    allow_open_files()
    uvicorn.main(prog_name="python -m byom.serve")
