"""Examples of responses, for the API's document."""

from __future__ import annotations

from typing import Any

__all__ = ["EXAMPLE_WORKFLOW"]

EXAMPLE_WORKFLOW: dict[str, Any] = {
    "id": 4711,
    "status": "WAITING",
    "executionCount": 2,
    "retryCount": 0,
    "created": "2026-11-22T13:52:07.000042Z",
    "modified": "2026-11-22T13:52:07.120311Z",
    "nextActivation": "2026-11-25T13:52:07.120311Z",
    "started": "2026-11-22T13:52:07.004150Z",
    "ended": None,
    "executorId": None,
    "executorGroup": "default",
    "workflowType": "OrderWorkflow",
    "definitionVersion": 1,
    "externalId": "order-2026-1001",
    "businessKey": "customer-1001",
    "priority": 4,
    "state": "review",
    "stateVars": {"sku": "A-1001", "amount": 1200},
    "parentId": None,
    "children": 0,
    "openChildren": 0,
    "waitsForChildren": False,
    "pauseRequested": False,
    "heldStatus": None,
    "answer": None,
    "reason": None,
    "fingerprint": None,
    "createdBy": "warehouse",
    "version": 3,
    "awaits": [],
    "unread": 0,
    "summary": "A-1001: 1200",
}
"""An order that waits for an approval."""
