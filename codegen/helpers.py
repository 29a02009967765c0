"""The BPF helpers and kfuncs that progs may call.

Numbers are those of ``enum bpf_func_id`` in include/uapi/linux/bpf.h; they never change. A kfunc
has no number: the loader finds it in the kernel's BTF by name.
"""

from __future__ import annotations

from pytrace.base.frozen import FrozenValue

WORD, POINTER, EITHER, MAP = "w", "p", "a", "m"


class HelperSpec(FrozenValue):
    """A helper as an IR ``Helper`` instruction calls it.

    ``args`` has a letter for each argument: ``w`` word, ``p`` pointer, ``a`` either (the verifier
    takes any value), ``m`` map. ``pointer`` tells that the result is one. ``pure``: two calls in
    one run give the same and change nothing, so one may serve for both. ``number`` 0 is a kfunc,
    whose kernel name is ``symbol``.
    """

    name: str
    number: int
    args: str = ""
    pointer: bool = False
    pure: bool = False
    symbol: str = ""


def _table(*rows: tuple[str, int, str, str]) -> dict[str, HelperSpec]:
    return {
        name: HelperSpec(
            name=name, number=number, args=args, pointer="p" in marks, pure="c" in marks
        )
        for name, number, args, marks in rows
    }


def _kfuncs(*rows: tuple[str, str, str]) -> dict[str, HelperSpec]:
    return {
        name: HelperSpec(name=name, number=0, args=args, pointer="p" in marks, symbol=f"bpf_{name}")
        for name, args, marks in rows
    }


# Name, number, arguments; marks: p yields a pointer, c is pure (constant during one run).
HELPERS: dict[str, HelperSpec] = _table(
    ("map_lookup_elem", 1, "mp", "p"),
    ("map_update_elem", 2, "mppw", ""),
    ("map_delete_elem", 3, "mp", ""),
    ("probe_read", 4, "pwa", ""),
    ("ktime_get_ns", 5, "", ""),
    ("get_prandom_u32", 7, "", ""),
    ("get_smp_processor_id", 8, "", "c"),
    ("get_current_pid_tgid", 14, "", "c"),
    ("get_current_uid_gid", 15, "", "c"),
    ("get_current_comm", 16, "pw", ""),
    ("perf_event_output", 25, "pmwpw", ""),
    ("get_stackid", 27, "pmw", ""),
    ("get_current_task", 35, "", "c"),
    ("probe_write_user", 36, "apw", ""),
    ("get_numa_node_id", 42, "", "c"),
    ("probe_read_str", 45, "pwa", ""),
    ("get_socket_cookie", 46, "a", ""),
    ("override_return", 58, "pw", ""),
    ("get_stack", 67, "ppww", ""),
    ("get_current_cgroup_id", 80, "", "c"),
    ("send_signal", 109, "w", ""),
    ("skb_output", 111, "amwpw", ""),
    ("probe_read_user", 112, "pwa", ""),
    ("probe_read_kernel", 113, "pwa", ""),
    ("probe_read_user_str", 114, "pwa", ""),
    ("probe_read_kernel_str", 115, "pwa", ""),
    ("send_signal_thread", 117, "w", ""),
    ("jiffies64", 118, "", ""),
    ("get_ns_current_pid_tgid", 120, "wwpw", ""),
    ("ktime_get_boot_ns", 125, "", ""),
    ("seq_printf", 126, "ppwpw", ""),
    ("seq_write", 127, "ppw", ""),
    ("ringbuf_output", 130, "mpww", ""),
    ("ringbuf_reserve", 131, "mww", "p"),
    ("ringbuf_submit", 132, "pw", ""),
    ("ringbuf_discard", 133, "pw", ""),
    ("ringbuf_query", 134, "mw", ""),
    ("get_task_stack", 141, "ppww", ""),
    ("d_path", 147, "apw", ""),
    ("copy_from_user", 148, "pwa", ""),
    ("per_cpu_ptr", 153, "pw", "p"),
    ("this_cpu_ptr", 154, "p", "p"),
    ("get_current_task_btf", 158, "", "pc"),
    ("ktime_get_coarse_ns", 160, "", ""),
    ("for_each_map_elem", 164, "mppw", ""),
    ("snprintf", 165, "pwppw", ""),
    ("get_func_ip", 173, "p", "c"),
    ("get_attach_cookie", 174, "p", "c"),
    ("task_pt_regs", 175, "p", "pc"),
    ("trace_printk", 6, "pwaaa", ""),
    ("trace_vprintk", 177, "pwpw", ""),
    ("loop", 181, "wppw", ""),
    ("strncmp", 182, "pwp", ""),
    ("get_func_arg", 183, "pwp", ""),
    ("get_func_ret", 184, "pp", ""),
    ("get_func_arg_cnt", 185, "p", "c"),
    ("copy_from_user_task", 191, "pwapw", ""),
    ("map_lookup_percpu_elem", 195, "mpw", "p"),
    ("ktime_get_tai_ns", 208, "", ""),
)

KFUNCS: dict[str, HelperSpec] = _kfuncs(
    ("task_from_pid", "w", "p"),
    ("task_from_vpid", "w", "p"),
    ("task_acquire", "p", "p"),
    ("task_release", "p", ""),
    ("rcu_read_lock", "", ""),
    ("rcu_read_unlock", "", ""),
    ("rdonly_cast", "ww", "p"),
    ("cast_to_kern_ctx", "p", "p"),
    ("session_is_return", "", ""),
    ("session_cookie", "", "p"),
    ("path_d_path", "ppw", ""),
)

TABLE: dict[str, HelperSpec] = {**HELPERS, **KFUNCS}
"""Everything that an IR ``Helper`` may name."""
