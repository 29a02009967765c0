"""Random typed IR is right by ``ir.check``, passes the verifier and computes what it should."""

from __future__ import annotations

import os
import random

import pytest

from pytrace.ir.print import print_module
from tests.fuzz.ir_programs import RESULTS, Evaluator, Generator
from tests.kernel.codegen_run import (
    FEATURES,
    RESULT,
    Loaded,
    compile_checked,
    module,
    prog,
)
from tests.machine import absent

pytestmark = pytest.mark.needs("root")

SEEDS = int(os.environ.get("PYTRACE_FUZZ_SEEDS", "60"))
FIRST = int(os.environ.get("PYTRACE_FUZZ_FIRST", "0"))

NEWEST_CPU = "v3" if absent("cpu_v4") else "v4"

ARGUMENTS = (
    (0, 0, 0),
    (1, 2, 3),
    ((1 << 64) - 1, 1 << 63, 7),
    (0x1122334455667788, 40, (1 << 64) - 5),
)


@pytest.mark.parametrize("seed", range(FIRST, FIRST + SEEDS))
def test_the_kernel_agrees_with_the_evaluator(seed: int) -> None:
    choice = random.Random(seed)
    native = choice.random() < 0.3
    body = Generator(seed, RESULT, short=native).function()
    m = module(prog(body, gate=False))
    changes = {
        "cpu": choice.choice(("v2", "v3", "v3", NEWEST_CPU)),
        "on_stack_limit": choice.choice((16, 32, 128)),
        "features": FEATURES - {"loop"} if native else FEATURES,
        "optimise": choice.choice((1, 2, 2)),
    }
    with Loaded(compile_checked(m, **changes)) as loaded:
        for args in ARGUMENTS:
            loaded.maps[RESULT].update(bytes(4), bytes(512))
            expected = Evaluator(args).run(body)
            value = loaded.run("prog", *args)
            data = loaded.maps[RESULT].lookup(bytes(4))
            assert data is not None
            got = (value, data[: 8 * RESULTS])
            assert got == expected, f"{changes}\n{args}\n{print_module(m)}"
