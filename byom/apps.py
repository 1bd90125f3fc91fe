from django.apps import AppConfig


class ByomConfig(AppConfig):
    name = "byom"
    verbose_name = "BYOM"
