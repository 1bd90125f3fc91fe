from django.apps import AppConfig
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from providers import guard


class ByomConfig(AppConfig):
    name = "byom"
    verbose_name = "BYOM"

    def ready(self) -> None:
        try:
            guard.configure(settings.BASE_URL_ALLOW)
        except ValueError as error:
            raise ImproperlyConfigured(f"BYOM_BASE_URL_ALLOW: {error}.") from None
