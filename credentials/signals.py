"""What the rest of the project may want to know of credentials, without credentials knowing it.

`credential_ended`: `credential`, `reason` (a sentence). No call may use it from now on.
`key_validated`: `outcome` (credentials.validation.ValidationOutcome), after every test.
"""

from __future__ import annotations

from django.dispatch import Signal

credential_ended = Signal()
key_validated = Signal()
