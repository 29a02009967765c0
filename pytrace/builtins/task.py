"""The current task as the kernel's own structure; parents and leaders are found through it."""

from __future__ import annotations

from pytrace.base.types import KERNEL, NONE, Ptr
from pytrace.builtins.registry import Builtin

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pytrace.base.types import Type
    from pytrace.builtins.registry import BuiltinCall
    from pytrace.semantics.typing import Typing


def _task_type(t: Typing, call: BuiltinCall) -> Type:
    definition = t.env.struct("struct", "task_struct")
    if definition is None:
        t.error(
            "no-btf",
            "curtask needs the kernel's type information (CONFIG_DEBUG_INFO_BTF)",
            call.span,
        )
        return NONE
    return Ptr(to=definition.type, space=KERNEL)


CURTASK = Builtin(
    name="curtask",
    doc="The current task: a struct task_struct *.",
    returns=_task_type,
    lower=lambda lo, call: lo.b.helper("get_current_task"),
    bare=True,
)
