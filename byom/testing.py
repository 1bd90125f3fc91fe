"""Settings for tests: the product's own, with nothing read from or left in `var/`.

`TEST_DATABASE_URL` names another database than SQLite.
"""

import base64
import os
import tempfile

for name in ("POSTGRES_SERVER", "BYOM_SIMULATOR_URL", "BYOM_BASE_URL_ALLOW"):
    os.environ.pop(name, None)
os.environ.update(
    BYOM_ENV="development",
    BYOM_VAR_DIR=tempfile.gettempdir(),
    SECRET_KEY="only-for-tests",
    BYOM_ENCRYPTION_KEYS=f"t1:{base64.b64encode(b'only for tests, never elsewhere.').decode()}",
    BYOM_SIMULATOR="off",
    BYOM_LOG_LEVEL="WARNING",
    DATABASE_URL=os.environ.get("TEST_DATABASE_URL", ""),
)

from byom.settings import *  # noqa: E402, F403
from byom.settings import CREDENTIAL_LIMITS, DATABASES, RATE_LIMITS, SQLITE, SYSTEM_KEYS  # noqa: E402

if DATABASES["default"]["ENGINE"] == SQLITE["ENGINE"]:
    # A file, not memory: threads of a live server share it as they would share the real one.
    DATABASES["default"]["NAME"] = ":memory:"
    DATABASES["default"]["TEST"] = {
        "NAME": os.path.join(tempfile.gettempdir(), f"byom-test-{os.getpid()}.sqlite3")
    }
else:
    DATABASES["default"]["OPTIONS"].pop("pool", None)
    DATABASES["default"]["TEST"] = {"NAME": f"test_byom_{os.getpid()}"}

TASKS = {"default": {"BACKEND": "django_tasks.backends.immediate.ImmediateBackend"}}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
ALLOWED_HOSTS = ["testserver", "localhost", "127.0.0.1"]
# Real keys in the environment serve only the tests that ask for them (marker requires_api).
SYSTEM_KEYS = dict.fromkeys(SYSTEM_KEYS, "")
RATE_LIMITS = {holder: dict.fromkeys(limits, 0) for holder, limits in RATE_LIMITS.items()}
CREDENTIAL_LIMITS = dict.fromkeys(CREDENTIAL_LIMITS, 100_000)
