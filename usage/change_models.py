"""What others are told of by triggers (`usage.changes`)."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now


class Change(models.Model):
    """Somebody has changed what server processes remember: a key, a token, a budget, a price."""

    at = models.DateTimeField(db_default=Now())
