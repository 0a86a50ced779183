"""OTP's supervisors for trio: children in a nursery, restart strategies, restart policies.

A tree is built from `ChildSpec`s under a `Supervisor` or a `DynamicSupervisor`; `run()` of one is
itself a child's start, so trees nest. When and whether something runs again after a failure is
decided by restart policies (`RetryPolicy`, `CircuitBreaker`, `Backoff`), and by OTP's restart
intensity where there is none.
"""

from pywats_supervision._overlay import check_overlay
from pywats_supervision.context import ChildContext
from pywats_supervision.core.children import InHand
from pywats_supervision.core.life import ChildState
from pywats_supervision.core.spec import (
    ALL_SIGNIFICANT,
    ANY_SIGNIFICANT,
    NEVER,
    ONE_FOR_ALL,
    ONE_FOR_ONE,
    PERMANENT,
    REST_FOR_ONE,
    TEMPORARY,
    TRANSIENT,
    AutoShutdown,
    ChildSpec,
    RestartType,
    Strategy,
)
from pywats_supervision.dynamic import DynamicSupervisor
from pywats_supervision.errors import (
    ChildReturned,
    ChildStopped,
    DuplicateChild,
    NotRunning,
    PolicyEscalated,
    RestartIntensityExceeded,
    StartTimeout,
    SupervisionError,
    SupervisionFailed,
    TooManyChildren,
    UnknownChild,
    WouldDeadlock,
    WrongThread,
)
from pywats_supervision.observation import (
    ChildSnapshot,
    Counts,
    EventStream,
    Happening,
    SupervisorSnapshot,
    TreeEvent,
)
from pywats_supervision.runtime import Runtime
from pywats_supervision.supervisor import Supervisor
from pywats_supervision.system import current_runtime, system_runtime

__all__ = [
    "ALL_SIGNIFICANT",
    "ANY_SIGNIFICANT",
    "NEVER",
    "ONE_FOR_ALL",
    "ONE_FOR_ONE",
    "PERMANENT",
    "REST_FOR_ONE",
    "TEMPORARY",
    "TRANSIENT",
    "AutoShutdown",
    "ChildContext",
    "ChildReturned",
    "ChildSnapshot",
    "ChildSpec",
    "ChildState",
    "ChildStopped",
    "Counts",
    "DuplicateChild",
    "DynamicSupervisor",
    "EventStream",
    "Happening",
    "InHand",
    "NotRunning",
    "PolicyEscalated",
    "RestartIntensityExceeded",
    "RestartType",
    "Runtime",
    "StartTimeout",
    "Strategy",
    "SupervisionError",
    "SupervisionFailed",
    "Supervisor",
    "SupervisorSnapshot",
    "TooManyChildren",
    "TreeEvent",
    "UnknownChild",
    "WouldDeadlock",
    "WrongThread",
    "current_runtime",
    "system_runtime",
]

check_overlay()
