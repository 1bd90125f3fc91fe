"""The cache of servers that share a Redis: what counts failed sign-ins has to be shared too."""

from __future__ import annotations

import logging
from typing import Any

import redis
from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.redis import RedisCache

logger = logging.getLogger(__name__)


class ForgivingRedisCache(RedisCache):
    """Where Redis can't be reached each process caches by itself: limits that are a little too
    wide for a while are better than a sign-in that fails."""

    def __init__(self, server: Any, params: dict[str, Any]) -> None:
        super().__init__(server, params)
        self._local = LocMemCache(params.get("KEY_PREFIX", "byom"), params)

    def _forgiving(self, name: str, *args: Any, **kwargs: Any) -> Any:
        try:
            return getattr(super(), name)(*args, **kwargs)
        except redis.RedisError as error:
            logger.warning("Redis is out of reach (%s): caching per process.", type(error).__name__)
            return getattr(self._local, name)(*args, **kwargs)

    def add(self, *args: Any, **kwargs: Any) -> Any:
        return self._forgiving("add", *args, **kwargs)

    def get(self, *args: Any, **kwargs: Any) -> Any:
        return self._forgiving("get", *args, **kwargs)

    def set(self, *args: Any, **kwargs: Any) -> Any:
        return self._forgiving("set", *args, **kwargs)

    def touch(self, *args: Any, **kwargs: Any) -> Any:
        return self._forgiving("touch", *args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> Any:
        return self._forgiving("delete", *args, **kwargs)
