"""`python -m byom.serve byom.asgi:application …`: uvicorn with all of its options, and with the
bounds of `byom.bounded_http`.

Put in at import, as each of uvicorn's workers imports this module anew.
"""

from __future__ import annotations

import uvicorn
from uvicorn.config import HTTP_PROTOCOLS

HTTP_PROTOCOLS["auto"] = "byom.bounded_http:BoundedHttp"

if __name__ == "__main__":
    uvicorn.main(prog_name="python -m byom.serve")
