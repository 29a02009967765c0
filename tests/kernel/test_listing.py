"""Listings of this machine: its tracepoints and types, programs by file, process and wildcard."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.kernel.tracer import COMMAND, DEADLINE, environment, run

pytestmark = pytest.mark.needs("root")

C_SOURCE = """
#include <stdio.h>
#include <unistd.h>
struct item { int weight; };
enum color { RED };
__attribute__((noinline)) int pick(const char *name, struct item *from, unsigned long at,
                                   enum color c, int (*less)(int, char))
{ __asm__ volatile(""); return 0; }
static __attribute__((noinline)) void hidden(void) { __asm__ volatile(""); }
int main(int argc, char **argv) {
  struct item one = {1};
  hidden();
  pick("x", &one, 1, RED, 0);
  if (argc > 1) { puts("ready"); fflush(stdout); pause(); }
  return 0;
}
"""

CPP_SOURCE = """
namespace shop {
struct Box { int price; int count(long most) const; };
int Box::count(long most) const { __asm__ volatile(""); return price; }
}
__attribute__((noinline)) int twice(int a) { __asm__ volatile(""); return 2 * a; }
__attribute__((noinline)) int twice(long a, char b) { __asm__ volatile(""); return 2 * a; }
int main() { shop::Box b{1}; return b.count(1) + twice(1) + twice(1L, 'x'); }
"""


def lines(*words: str) -> list[str]:
    done = run(*words)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with programs: app (debug information), bare (none), split, cpp."""
    directory = tmp_path_factory.mktemp("programs")
    (directory / "app.c").write_text(C_SOURCE)
    (directory / "cpp.cc").write_text(CPP_SOURCE)
    builds = {
        "app": ["gcc", "-O1", "-g", "app.c"],
        "app4": ["gcc", "-O1", "-gdwarf-4", "app.c"],
        "packed": ["gcc", "-O1", "-g", "-gz", "app.c"],
        "bare": ["gcc", "-O1", "app.c"],
        "split": ["gcc", "-O1", "-g", "-gsplit-dwarf", "app.c"],
        "split4": ["gcc", "-O1", "-gdwarf-4", "-gsplit-dwarf", "app.c"],
        "cpp": ["gcc", "-O1", "-g", "-x", "c++", "cpp.cc", "-lm"],
    }
    for name, command in builds.items():
        subprocess.run([*command, "-o", name], cwd=directory, check=True)
    return directory


def test_all_tracepoints() -> None:
    with open("/sys/kernel/tracing/available_events", encoding="ascii") as file:
        known = {line.strip() for line in file}
    assert lines("-l", "tracepoint:*") == sorted(f"tracepoint:{name}" for name in known)


def test_fields_are_those_of_the_format_file() -> None:
    found = lines("-lv", "tracepoint:sched:sched_process_exec")
    path = "/sys/kernel/tracing/events/sched/sched_process_exec/format"
    with open(path, encoding="ascii") as file:
        fields = [line.split(";")[0].strip() for line in file if "field:" in line]
    own = [field.removeprefix("field:") for field in fields if "common_" not in field]
    assert found == ["tracepoint:sched:sched_process_exec", *(f"    {field}" for field in own)]


@pytest.mark.needs("btf")
def test_types_of_this_kernel() -> None:
    assert lines("-l", "struct qstr,enum pid_type") == ["struct qstr", "enum pid_type"]
    text = run("-lv", "struct list_head").stdout
    assert text == (
        "vmlinux: struct list_head {\n\tstruct list_head *next;\n\tstruct list_head *prev;\n};\n\n"
    )
    many = lines("-l", "struct task_s*")
    assert "struct task_struct" in many
    assert many == sorted(many)
    assert run("-l", "union nosuch").stdout == ""


@pytest.mark.needs("btf")
def test_kernel_functions_and_raw_tracepoints() -> None:
    found = lines("-lv", "fexit:vfs_fsync")
    assert found[0] == "fexit:vmlinux:vfs_fsync"
    assert found[1] == "    struct file * file"
    assert found[-1] == "    int retval"
    assert lines("-lv", "kprobe:vfs_fsync")[1] == "    struct file * arg0"
    assert lines("-lv", "kretprobe:vfs_fsync") == ["kretprobe:vfs_fsync", "    int retval"]
    raw = lines("-lv", "rawtracepoint:sched_switch")
    assert raw[0] == "rawtracepoint:vmlinux:sched_switch"
    assert "    struct task_struct * prev" in raw
    assert not any("__data" in line for line in raw)
    assert len(lines("-l", "fentry:*")) > 10_000


@pytest.mark.needs("btf")
def test_iterators() -> None:
    found = lines("-l", "iter:*")
    assert {"iter:task", "iter:task_file", "iter:bpf_map"} <= set(found)
    assert not any("__" in item for item in found)
    assert lines("-lv", "iter:task")[1:] == [
        "    struct bpf_iter_meta * meta",
        "    struct task_struct * task",
    ]


@pytest.mark.needs("gcc")
@pytest.mark.parametrize("name", ["app", "app4", "packed", "split", "split4"])
def test_parameters_of_functions(programs: Path, name: str) -> None:
    path = programs / name
    assert lines("-lv", f"uprobe:{path}:pick") == [
        f"uprobe:{path}:pick",
        "    const char* name",
        "    struct item* from",
        "    long unsigned int at",
        "    enum color c",
        "    int (*)(int, char) less",
    ]
    assert lines("-lv", f"uprobe:{path}:hid*") == [f"uprobe:{path}:hidden"]
    assert lines("-lv", f"uretprobe:{path}:main") == [f"uretprobe:{path}:main"]


@pytest.mark.needs("gcc")
def test_parameters_from_a_separate_file(programs: Path) -> None:
    whole, stripped = programs / "app", programs / "stripped"
    symbols = programs / "symbols"
    symbols.mkdir()
    debug = symbols / "stripped.debug"
    copy = ["objcopy", "--only-keep-debug", str(whole), str(debug)]
    strip = ["objcopy", "--strip-debug", f"--add-gnu-debuglink={debug}", str(whole), str(stripped)]
    for command in (copy, strip):
        subprocess.run(command, check=True)
    wanted = [f"uprobe:{stripped}:main", "    int argc", "    char** argv"]
    for option in (f"--debuginfo={symbols}", "--debuginfo=./symbols"):
        assert lines("-lv", f"uprobe:{stripped}:main", "--debuginfo=/nowhere", option) == wanted
    assert "No DWARF found" in run("-lv", f"uprobe:{stripped}:main").stderr


@pytest.mark.needs("gcc")
def test_a_program_without_debug_information(programs: Path) -> None:
    done = run("-lv", f"uprobe:{programs}/bare:*")
    assert f"uprobe:{programs}/bare:pick\n" in done.stdout
    assert done.stderr == (
        f'WARNING: No DWARF found for "{programs}/bare", cannot show parameter info\n'
    )


@pytest.mark.needs("gcc")
def test_cpp_functions(programs: Path) -> None:
    path = f"uprobe:{programs}/cpp"
    assert lines("-lv", f"{path}:cpp:*count*") == [
        f'{path}:cpp:"shop::Box::count(long) const"',
        "    const shop::Box* const this",
        "    long int most",
    ]
    assert lines("-l", f"{path}:cpp:twice") == [
        f'{path}:cpp:"twice(int)"',
        f'{path}:cpp:"twice(long, char)"',
    ]
    assert lines("-l", f'{path}:cpp:"twice(long, char)"') == [f'{path}:cpp:"twice(long, char)"']
    script = f'{path}:cpp:"twice(int)" {{ }}'
    assert lines("-l", "-e", script) == [f'{path}:cpp:"twice(int)"']


@pytest.mark.needs("gcc")
def test_a_cpp_probe_fires_where_its_name_says(programs: Path) -> None:
    script = f'uprobe:{programs}/cpp:cpp:twice {{ printf("%s %d\\n", probe, arg0); }}'
    done = run("-q", "-c", f"{programs}/cpp", "-e", script)
    assert done.stdout.split("\n")[:2] == [
        f"uprobe:{programs}/cpp:cpp:_Z5twicei 1",
        f"uprobe:{programs}/cpp:cpp:_Z5twicelc 1",
    ]


@pytest.mark.needs("gcc")
def test_files_by_wildcard(programs: Path) -> None:
    found = lines("-l", f"uprobe:{programs}/*app*:pick")
    assert found == sorted(f"uprobe:{programs}/{name}:pick" for name in ("app", "app4"))
    assert lines("-l", f"*:{programs}/app:pi*") == [f"uprobe:{programs}/app:pick"]


@contextmanager
def running(*command: str) -> Iterator[int]:
    """A program that has said that it is ready; its process id."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        try:
            yield process.pid
        finally:
            process.kill()


@pytest.mark.needs("gcc")
def test_functions_of_a_process(programs: Path) -> None:
    app = programs / "app"
    with running(str(app), "wait") as pid:
        assert lines("-l", "uprobe:pick", "-p", str(pid)) == [f"uprobe:{app}:pick"]
        own = [x for x in lines("-l", "uprobe:*", "-p", str(pid)) if ":pick" in x]
        assert own == [f"uprobe:{app}:pick"]
        everything = lines("-l", "-p", str(pid))
        assert f"uprobe:{app}:main" in everything
        assert "tracepoint:sched:sched_switch" in everything


@pytest.mark.needs("gcc")
def test_functions_of_a_process_with_files_of_its_own(programs: Path) -> None:
    """The process sees its program where this one sees another file, or none."""
    inside = programs / "inside"
    inside.mkdir()
    mount = f"mount --bind {programs} {inside} && exec {inside}/app wait"
    with running("unshare", "--mount", "--propagation", "private", "sh", "-c", mount) as pid:
        found = lines("-l", "uprobe:pick", "-p", str(pid))
        assert found == [f"uprobe:/proc/{pid}/root{inside}/app:pick"]
        assert lines("-lv", f"uprobe:{inside}/app:pick", "-p", str(pid))[1] == (
            "    const char* name"
        )


@pytest.mark.needs("gcc", "sdt")
def test_usdt_probes(programs: Path) -> None:
    source = (
        "#include <sys/sdt.h>\n#include <stdio.h>\n#include <unistd.h>\n"
        "int main(int argc, char **argv) {\n"
        "  DTRACE_PROBE1(shop, sale, argc); DTRACE_PROBE(shop, done); DTRACE_PROBE(bank, done);\n"
        '  if (argc > 1) { puts("ready"); fflush(stdout); pause(); }\n'
        "  return 0;\n}\n"
    )
    (programs / "probed.c").write_text(source)
    subprocess.run(["gcc", "-o", "probed", "probed.c"], cwd=programs, check=True)
    path = programs / "probed"
    assert lines("-l", f"usdt:{path}:*") == [
        f"usdt:{path}:bank:done",
        f"usdt:{path}:shop:done",
        f"usdt:{path}:shop:sale",
    ]
    assert lines("-l", f"usdt:{path}:shop:s*") == [f"usdt:{path}:shop:sale"]
    with running(str(path), "wait") as pid:
        assert lines("-l", "usdt:shop:*", "-p", str(pid)) == [
            f"usdt:{path}:shop:done",
            f"usdt:{path}:shop:sale",
        ]


def test_a_script_lists_what_it_attaches_to_in_its_order(tmp_path: Path) -> None:
    script = tmp_path / "x.bt"
    script.write_text(
        "BEGIN { nosuch(1); } interval:s:1,i:10ms { } t:sched:sched_wakeup* { @x = $y; }\n"
        "software:faults:7 { } self:signal:SIGUSR1 { } END { }\n"
    )
    assert lines("-l", str(script)) == [
        "interval:s:",
        "interval:us:",
        "tracepoint:sched:sched_wakeup",
        "tracepoint:sched:sched_wakeup_new",
        "software:faults:",
        "self:signal:SIGUSR1",
    ]
    assert "    int prio" in lines("-lv", str(script))


def test_a_script_with_mistakes_lists_nothing() -> None:
    done = run("-l", "-e", "t:sched:nosuch { }")
    assert (done.returncode, done.stdout) == (1, "")
    assert "ERROR: No matches for tracepoint sched:nosuch." in done.stderr
    assert run("-l", "-e", "t:sched { ").returncode == 1


def test_a_search_too_many() -> None:
    done = run("-l", "t:sched:*", "u:x:y")
    assert done.returncode == 1
    assert done.stderr.startswith("ERROR: -l takes one search, or one script\n")


def test_a_reader_that_leaves_early() -> None:
    command = f"{COMMAND[0]} -l 'tracepoint:*' | head -1"
    done = subprocess.run(
        ["sh", "-c", command], capture_output=True, text=True, env=environment(), timeout=DEADLINE
    )
    assert done.stdout.startswith("tracepoint:")
    assert "Traceback" not in done.stderr
