"""For WSGI servers. Streaming and the gateway need ASGI: see `byom.asgi`."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "byom.settings")
application = get_wsgi_application()
