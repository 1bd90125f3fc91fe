"""All of the project's settings. `docs/reference/settings.md` describes each variable.

Two environments: `development` (the default: listens to this machine only, makes its own
secrets in `var/`) and `production` (refuses to start while anything needed is missing).
"""

from __future__ import annotations

import base64
import os
import secrets
from pathlib import Path
from typing import Any

import dj_database_url
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured

from byom import env
from byom.logging import logging_config

BASE_DIR = Path(__file__).resolve().parent.parent
BYOM_ENV = env.choice("BYOM_ENV", "development", ("development", "production"))
PRODUCTION = BYOM_ENV == "production"
VAR_DIR = Path(env.text("BYOM_VAR_DIR") or BASE_DIR / "var")


def private_file(path: Path, make: str) -> str:
    """The contents of `path`; when it does not exist it is made, holding `make`, mode 0600."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text(encoding="utf-8").strip()
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(make + "\n")
    return make


# Security ----------------------------------------------------------------------------

DEBUG = env.flag("BYOM_DEBUG", False)
if PRODUCTION:
    SECRET_KEY = env.required_secret("SECRET_KEY", "sessions and reset links are signed with it.")
    ALLOWED_HOSTS = env.items("ALLOWED_HOSTS")
    if not ALLOWED_HOSTS:
        raise ImproperlyConfigured("ALLOWED_HOSTS must be set: the host names people use.")
    if "*" in ALLOWED_HOSTS:
        raise ImproperlyConfigured("ALLOWED_HOSTS must name the hosts: '*' accepts forged ones.")
    if DEBUG:
        raise ImproperlyConfigured("BYOM_DEBUG must be off in production: it shows source code.")
else:
    SECRET_KEY = env.secret("SECRET_KEY") or private_file(
        VAR_DIR / "secret_key", secrets.token_urlsafe(50)
    )
    ALLOWED_HOSTS = env.items("ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]")

DEFAULT_EXCEPTION_REPORTER = "byom.debug.RedactingReporter"
DEFAULT_EXCEPTION_REPORTER_FILTER = "byom.debug.NoValuesFilter"
BEHIND_TLS = env.flag("BYOM_TLS", PRODUCTION)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = BEHIND_TLS
SECURE_SSL_REDIRECT = BEHIND_TLS
SECURE_REDIRECT_EXEMPT = [r"^livez$", r"^readyz$", r"^metrics$"]
SECURE_HSTS_SECONDS = 31_536_000 if BEHIND_TLS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = BEHIND_TLS
SECURE_REFERRER_POLICY = "same-origin"
if env.flag("BYOM_TRUST_PROXY", False):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
CSRF_TRUSTED_ORIGINS = env.items("CSRF_TRUSTED_ORIGINS")
X_FRAME_OPTIONS = "DENY"
MAX_BODY_BYTES = env.integer("BYOM_MAX_BODY_BYTES", 2_000_000, at_least=10_000)
DATA_UPLOAD_MAX_MEMORY_SIZE = MAX_BODY_BYTES

CONTENT_SECURITY_POLICY: dict[str, Any] = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        # data: is the QR code that allauth draws for an authenticator app.
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    }
}

# The vault. Rows of keys are "kid:base64 of 32 bytes", the first one seals.
ENV_KEY_RING = "credentials.keyrings.environment"
KEY_RING = env.text("BYOM_KEY_RING") or ENV_KEY_RING
ENCRYPTION_KEYS = env.secret("BYOM_ENCRYPTION_KEYS")
if PRODUCTION and KEY_RING == ENV_KEY_RING and not ENCRYPTION_KEYS:
    raise ImproperlyConfigured(
        "BYOM_ENCRYPTION_KEYS (or BYOM_ENCRYPTION_KEYS_FILE) must be set: people's provider keys "
        "are sealed with it. Make one with: echo k1:$(openssl rand -base64 32)"
    )
if KEY_RING == ENV_KEY_RING and not ENCRYPTION_KEYS:
    ENCRYPTION_KEYS = private_file(
        VAR_DIR / "encryption_keys", f"k1:{base64.b64encode(secrets.token_bytes(32)).decode()}"
    )
FERNET_KEYS: list[str] = []  # never SECRET_KEY: only tokens to import name keys of their own

# Application -------------------------------------------------------------------------

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.forms",
    "rest_framework",
    "django_tasks",
    "csp",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "byom",
    "credentials",
    "usage",
    "agents",
    "gateway",
    "benchmarks",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "byom.static_files.StaticFilesMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "credentials.middleware.AuditContextMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
]

ROOT_URLCONF = "byom.urls"
ASGI_APPLICATION = "byom.asgi.application"
WSGI_APPLICATION = "byom.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    }
]

FORM_RENDERER = "django.forms.renderers.TemplatesSetting"  # forms render by templates/forms/

STATIC_URL = "/static/"
STATIC_ROOT = Path(env.text("BYOM_STATIC_ROOT") or VAR_DIR / "static")
STATIC_ROOT.mkdir(parents=True, exist_ok=True)  # WhiteNoise warns where it is missing
WHITENOISE_USE_FINDERS = not PRODUCTION  # development needs no collectstatic
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"
        if PRODUCTION
        else "django.contrib.staticfiles.storage.StaticFilesStorage"
    },
}

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# Database ----------------------------------------------------------------------------

SQLITE = {
    "ENGINE": "django.db.backends.sqlite3",
    "CONN_MAX_AGE": 60,  # opening the file costs as much as many queries
    # Several writers without "database is locked" need all three: WAL, IMMEDIATE, timeout.
    "OPTIONS": {
        "timeout": 20,
        "transaction_mode": "IMMEDIATE",
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    },
}


def database() -> dict[str, Any]:
    """DATABASE_URL, else POSTGRES_SERVER and its companions, else SQLite in `var/`."""
    url = env.secret("DATABASE_URL")
    if url:
        try:
            parsed: dict[str, Any] = dict(dj_database_url.parse(url))
        except (ValueError, KeyError):
            # The library's own message shows the URL, and with it the password.
            raise ImproperlyConfigured(
                "DATABASE_URL can't be read: it looks like postgres://user:password@host:5432/name"
            ) from None
        return with_options(parsed)
    if server := env.text("POSTGRES_SERVER"):
        return with_options(
            {
                "ENGINE": "django.db.backends.postgresql",
                "HOST": server,
                "PORT": env.integer("POSTGRES_PORT", 5432, at_least=1, at_most=65535),
                "NAME": env.text("POSTGRES_DB", "byom"),
                "USER": env.text("POSTGRES_USER", "byom"),
                "PASSWORD": env.secret("POSTGRES_PASSWORD"),
            }
        )
    VAR_DIR.mkdir(parents=True, exist_ok=True)
    return {**SQLITE, "NAME": VAR_DIR / "db.sqlite3"}


def with_options(parsed: dict[str, Any]) -> dict[str, Any]:
    if parsed["ENGINE"] == SQLITE["ENGINE"]:
        return {**parsed, **SQLITE}
    if parsed["ENGINE"] == "django.db.backends.postgresql":
        # Under ASGI persistent connections leak with CONN_MAX_AGE; the pool does not.
        pool = {"min_size": 1, "max_size": env.integer("BYOM_DB_POOL", 20, at_least=2)}
        parsed["CONN_MAX_AGE"] = 0
        # A connection that did not survive a restart of the server costs nobody a page: each is
        # asked, a tenth of a millisecond, before it is handed out.
        parsed["CONN_HEALTH_CHECKS"] = True
        parsed["DISABLE_SERVER_SIDE_CURSORS"] = env.flag("BYOM_DB_PGBOUNCER", False)
        parsed["OPTIONS"] = {**parsed.get("OPTIONS", {}), "pool": pool}
    return parsed


DATABASES = {"default": database()}

# Accounts ----------------------------------------------------------------------------

AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "home"
ACCOUNT_LOGOUT_REDIRECT_URL = "home"
ACCOUNT_LOGIN_METHODS = {"username", "email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "username*", "password1*", "password2*"]
ACCOUNT_EMAIL_VERIFICATION = "mandatory" if PRODUCTION else "optional"
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"]
MFA_TOTP_ISSUER = "BYOM"

EMAIL_HOST = env.text("EMAIL_HOST")
EMAIL_PORT = env.integer("EMAIL_PORT", 587, at_least=1, at_most=65535)
EMAIL_HOST_USER = env.text("EMAIL_HOST_USER")
EMAIL_HOST_PASSWORD = env.secret("EMAIL_HOST_PASSWORD")
EMAIL_USE_TLS = env.flag("EMAIL_USE_TLS", True)
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = env.text("DEFAULT_FROM_EMAIL", "BYOM <byom@localhost>")
EMAIL_BACKEND = (
    "django.core.mail.backends.smtp.EmailBackend"
    if EMAIL_HOST
    else "django.core.mail.backends.console.EmailBackend"
)

# API ---------------------------------------------------------------------------------

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "credentials.authentication.AccessTokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": [
        "rest_framework.permissions.IsAuthenticated",
        "credentials.permissions.HasScope",
    ],
    "DEFAULT_METADATA_CLASS": None,  # no OPTIONS: it would ask the permissions of other methods
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_PAGINATION_CLASS": "rest_framework.pagination.LimitOffsetPagination",
    "PAGE_SIZE": 50,
    "EXCEPTION_HANDLER": "byom.errors.api_exception_handler",
    "COERCE_DECIMAL_TO_STRING": True,
}

# Providers ---------------------------------------------------------------------------

PORT = env.integer("PORT", 8000, at_least=1, at_most=65535)
# The operator's own keys: the system default, and what the benchmark measures with.
SYSTEM_KEYS = {
    "openai": env.secret("OPENAI_API_KEY"),
    "google": env.secret("GOOGLE_API_KEY"),
    "anthropic": env.secret("ANTHROPIC_API_KEY"),
}
SIMULATOR = env.flag("BYOM_SIMULATOR", False)
SIMULATOR_URL = env.text("BYOM_SIMULATOR_URL") or (
    f"http://127.0.0.1:{PORT}/simulator" if SIMULATOR else ""
)
FALLBACK_POLICY = env.choice(
    "BYOM_FALLBACK_POLICY", "own_then_system", ("own_only", "own_then_system", "system_only")
)
# A URL that a person gives makes this server connect to it, so production has to opt in.
CUSTOM_BASE_URLS = env.flag("BYOM_CUSTOM_BASE_URLS", not PRODUCTION)
# What such a URL may reach beyond the public internet; in development a model server at home.
BASE_URL_ALLOW = env.items("BYOM_BASE_URL_ALLOW", "" if PRODUCTION else "localhost,127.0.0.1,[::1]")
# Functions with @tool (`agents.tools`) that every agent may use, by their dotted paths.
TOOLS = env.items("BYOM_TOOLS")
CALL_TIMEOUT_SECONDS = env.integer("BYOM_CALL_TIMEOUT_SECONDS", 120, at_least=1)
# What a budget sets aside for the answer of a call that states no limit of its own.
RESERVE_OUTPUT_TOKENS = env.integer("BYOM_RESERVE_OUTPUT_TOKENS", 4096, at_least=1)
# How long it does so for a call of which nothing more is heard.
RESERVATION_SECONDS = env.integer("BYOM_RESERVATION_SECONDS", 3600, at_least=60)

# Limits and housekeeping ---------------------------------------------------------------

REDIS_URL = env.secret("BYOM_REDIS_URL")
# Sign-in limits count in the first; kept answers of the gateway have one of their own, so that
# they push nothing out of it. Timeouts, as a request waits for it.
CACHES: dict[str, dict[str, Any]] = {
    "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
    "answers": {
        "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
        "LOCATION": "answers",
        "OPTIONS": {"MAX_ENTRIES": 1000},
    },
}
if REDIS_URL:
    CACHES = {
        name: {
            "BACKEND": "byom.cache.ForgivingRedisCache",
            "LOCATION": REDIS_URL,
            "KEY_PREFIX": prefix,
            "OPTIONS": {"socket_timeout": 0.5, "socket_connect_timeout": 0.5},
        }
        for name, prefix in (("default", "byom"), ("answers", "byom-answers"))
    }
# Per user and hour. The names stand in the sentence that a person reads.
CREDENTIAL_LIMITS = {
    "changes of keys": env.integer("BYOM_LIMIT_KEY_CHANGES", 10, at_least=1),
    "tests of keys": env.integer("BYOM_LIMIT_KEY_TESTS", 20, at_least=1),
    "looks at single keys": env.integer("BYOM_LIMIT_KEY_READS", 50, at_least=1),
    "changes of tool servers": env.integer("BYOM_LIMIT_TOOL_SERVER_CHANGES", 20, at_least=1),
    "questions to tool servers": env.integer("BYOM_LIMIT_TOOL_SERVER_QUESTIONS", 60, at_least=1),
}
# Of provider calls, by who is limited: calls and tokens a minute, calls at the same time.
RATE_LIMITS = {
    "user": {
        "calls": env.integer("BYOM_CALLS_PER_MINUTE", 600),
        "tokens": env.integer("BYOM_TOKENS_PER_MINUTE", 0),
        "concurrent": env.integer("BYOM_CONCURRENT_CALLS", 0),
    },
    "access token": {
        "calls": env.integer("BYOM_ACCESS_TOKEN_CALLS_PER_MINUTE", 0),
        "tokens": env.integer("BYOM_ACCESS_TOKEN_TOKENS_PER_MINUTE", 0),
        "concurrent": env.integer("BYOM_ACCESS_TOKEN_CONCURRENT_CALLS", 0),
    },
    "credential": {
        "calls": env.integer("BYOM_KEY_CALLS_PER_MINUTE", 0),
        "tokens": env.integer("BYOM_KEY_TOKENS_PER_MINUTE", 0),
        "concurrent": env.integer("BYOM_KEY_CONCURRENT_CALLS", 0),
    },
}
KEEP_RECORDS_DAYS = env.integer("BYOM_KEEP_RECORDS_DAYS", 0)
if 0 < KEEP_RECORDS_DAYS < 62:
    raise ImproperlyConfigured(
        "BYOM_KEEP_RECORDS_DAYS must be 0 (for ever) or at least 62: budgets add up the ledger of "
        "a whole month."
    )
PURGE_AFTER_DAYS = env.integer("BYOM_PURGE_AFTER_DAYS", 30)

# Background work -----------------------------------------------------------------------

CELERY_BROKER_URL = env.secret("BYOM_CELERY_BROKER_URL")
TASK_BACKENDS = {
    "threads": "byom.tasks.ThreadBackend",
    "celery": "byom.tasks.CeleryBackend",
}
TASKS_IN = env.choice("BYOM_TASKS", "threads", TASK_BACKENDS)
if TASKS_IN == "celery" and not CELERY_BROKER_URL:
    raise ImproperlyConfigured("BYOM_CELERY_BROKER_URL must be set: BYOM_TASKS=celery needs it.")
TASKS = {"default": {"BACKEND": TASK_BACKENDS[TASKS_IN]}}

# What the server does by itself: function and seconds between two rounds. A job does once what
# is due, however many processes run it.
PERIODIC_JOBS = {
    "agents.running.fail_lost_turns": 15.0,
    "benchmarks.background.look_after": 15.0,
    "benchmarks.schedules.start_due": 15.0,
    "credentials.lifecycle.housekeeping": 3600.0,
    "usage.rollups.roll_up": 2.0,
    "usage.budgets.reclaim": 60.0,
    "usage.changes.look_after": 60.0,
    "usage.price_lists.refresh": 60.0,
    "usage.alerts.check": 60.0,
    "usage.deliveries.deliver": 10.0,
    "usage.retention.drop_old_records": 3600.0,
}

# Watching ------------------------------------------------------------------------------

LOGGING = logging_config(
    env.choice("BYOM_LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR")),
    env.choice("BYOM_LOG_FORMAT", "text", ("text", "json")),
)
OTEL = env.flag("BYOM_OTEL", False)
METRICS_TOKEN = env.secret("BYOM_METRICS_TOKEN")
METRICS_DIR = env.text("PROMETHEUS_MULTIPROC_DIR")  # prometheus_client reads it by itself too
