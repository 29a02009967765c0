"""Features of the running kernel, found by trial."""

from __future__ import annotations

import json
import os

import pytest

from pytrace.kernel.info import FEATURES
from pytrace.linux import features as features_module
from pytrace.linux.features import TRIALS, Features
from pytrace.linux.syscall import Syscalls

pytestmark = pytest.mark.needs("root")

# What every kernel that pytrace is meant for offers to root.
BASELINE = (
    "raw_tp_test_run",
    "ringbuf",
    "ktime_boot",
    "map_batch",
    "cpu_v3",
    "probe_read_kernel",
    "signal_thread",
    "ns_pid_tgid",
)


def test_there_is_a_trial_for_each_declared_feature() -> None:
    assert set(TRIALS) == set(FEATURES)


@pytest.mark.parametrize("feature", BASELINE)
def test_the_baseline_works(feature: str) -> None:
    assert Features(Syscalls()).check(feature) == (True, "")


def test_every_refusal_has_a_reason_and_leaves_no_descriptor_or_child() -> None:
    before = sorted(os.listdir("/proc/self/fd"))
    features = Features(Syscalls())
    answers = {name: features.check(name) for name in TRIALS}
    features.close()
    assert sorted(os.listdir("/proc/self/fd")) == before
    assert [n for n, (works, reason) in answers.items() if works == bool(reason)] == []


def test_answers_are_kept_and_can_be_given() -> None:
    cache: dict[str, tuple[bool, str]] = {"ringbuf": (False, "masked")}
    features = Features(Syscalls(), cache)
    assert features.check("ringbuf") == (False, "masked")
    assert features.supports("cpu_v3")
    assert cache["cpu_v3"] == (True, "")


def test_without_btf_what_needs_an_id_is_missing_and_says_so() -> None:
    assert Features(Syscalls()).check("iter") == (False, "no BTF of this kernel was given")
    unknown = Features(Syscalls(), None, lambda name: 0)
    assert unknown.check("iter") == (False, "the kernel's BTF has no function bpf_iter_task")


def test_an_unknown_helper_is_refused_with_the_verifiers_words() -> None:
    trial = features_module._loads(features_module._call(9999) + features_module._RETURN_0)
    works, reason = Features(Syscalls())._try(trial)
    assert not works
    assert "9999" in reason


def test_without_rights_nothing_works_and_the_reason_says_so() -> None:
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setresgid(65534, 65534, 65534)
            os.setresuid(65534, 65534, 65534)
            features = Features(Syscalls())
            names = ("ringbuf", "ktime_boot", "uprobe", "perf_link", "raw_tp_test_run")
            os.write(writer, json.dumps({n: features.check(n) for n in names}).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        answers = json.loads(pipe.read())
    os.waitpid(pid, 0)
    assert len(answers) == 5
    for works, reason in answers.values():
        assert not works
        assert "not permitted" in reason or "Permission denied" in reason
