"""Which CPUs this machine has, from ``/sys/devices/system/cpu``."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

CPU_DIRECTORY: Final = "/sys/devices/system/cpu"


def parse_cpu_list(text: str) -> tuple[int, ...]:
    """CPU numbers of a list such as ``0-3,5,8-11`` (``lib/bitmap-str.c``, bitmap_parselist)."""
    cpus: list[int] = []
    for part in text.strip().split(","):
        if not part:
            continue
        first, _, last = part.partition("-")
        cpus.extend(range(int(first), int(last or first) + 1))
    return tuple(cpus)


def online_cpus(directory: str = CPU_DIRECTORY) -> tuple[int, ...]:
    """CPUs that run now. A perf event can be opened on these only."""
    return _read(directory, "online")


def present_cpus(directory: str = CPU_DIRECTORY) -> tuple[int, ...]:
    """CPUs that are plugged in, running or not."""
    return _read(directory, "present")


def possible_cpus(directory: str = CPU_DIRECTORY) -> tuple[int, ...]:
    """CPUs that may ever come up. A per-CPU map holds one value for each of these."""
    return _read(directory, "possible")


def possible_cpu_count(directory: str = CPU_DIRECTORY) -> int:
    """How many values a per-CPU map keeps for one key.

    The kernel counts the set bits of ``cpu_possible_mask`` (num_possible_cpus()), which never has
    holes on the architectures that pytrace runs on.
    """
    return len(_read(directory, "possible"))


def _read(directory: str, name: str) -> tuple[int, ...]:
    with open(f"{directory}/{name}") as file:
        return parse_cpu_list(file.read())
