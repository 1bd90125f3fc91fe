"""Comparing the ledger with a provider's bill."""

from __future__ import annotations

import uuid
from collections import defaultdict
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

from django.db import transaction
from django.db.models import DateTimeField, Sum
from django.db.models.functions import Coalesce, TruncDate

from usage.bills import Bill, plain_model
from usage.models import Reconciliation, ReconciliationRow, UsageQuerySet, UsageRecord


@transaction.atomic
def reconcile(
    *,
    provider: str,
    bill: Bill,
    source: str,
    paid_by: str = "",
    credential_id: uuid.UUID | None = None,
    span: tuple[date, date] | None = None,
) -> Reconciliation:
    """Compares by day and model, and keeps what was found. `paid_by` and `credential_id` narrow
    the calls to those that the bill is about; `span` is its first and last day, where it may be
    silent on days without costs."""
    rows = UsageRecord.objects.filter(provider=provider, is_simulated=False)
    if paid_by:
        rows = rows.filter(paid_by=paid_by)
    if credential_id:
        rows = rows.filter(credential_id=credential_id)
    days = span or (min(day for day, _ in bill), max(day for day, _ in bill))
    by_model = not bill or any(model for _, model in bill)
    ours = _by_day(rows, *days, by_model=by_model)
    run = Reconciliation.objects.create(
        provider=provider,
        source=source[:200],
        scope=", ".join(filter(None, (paid_by, str(credential_id or ""))))[:100],
        first_day=days[0],
        last_day=days[1],
        ours_usd=sum(ours.values(), Decimal(0)),
        theirs_usd=sum(bill.values(), Decimal(0)),
    )
    ReconciliationRow.objects.bulk_create(
        ReconciliationRow(
            run=run,
            day=day,
            model=model[:128],
            ours_usd=ours.get((day, model), Decimal(0)),
            theirs_usd=bill.get((day, model), Decimal(0)),
        )
        for day, model in sorted(ours.keys() | bill.keys())
    )
    return run


def _by_day(rows: UsageQuerySet, first: date, last: date, *, by_model: bool) -> Bill:
    """What the ledger says; a correction counts on the day of the call that it corrects."""
    start = datetime.combine(first, time.min, UTC)
    end = datetime.combine(last, time.min, UTC) + timedelta(days=1)
    moment = Coalesce("corrects__created_at", "created_at", output_field=DateTimeField())
    found = (
        rows.annotate(moment=moment)
        .filter(moment__gte=start, moment__lt=end, cost_usd__isnull=False)
        .annotate(day=TruncDate("moment", tzinfo=UTC))
        .order_by()
        .values_list("day", "model", "model_served")
        .annotate(cost=Sum("cost_usd"))
    )
    bill: Bill = defaultdict(Decimal)
    for day, model, served, cost in found:
        if cost:
            bill[day, plain_model(served or model) if by_model else ""] += cost
    return dict(bill)
