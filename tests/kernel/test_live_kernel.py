"""What LiveKernel says of this machine, held against other sources of the same facts."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from pytrace.base.types import KERNEL, USER, Ptr, Str
from pytrace.kernel import snapshot, witness
from pytrace.kernel.btf_index import BtfError
from pytrace.kernel.elf import Elf
from pytrace.kernel.info import Unknown
from pytrace.kernel.kallsyms import Kallsyms
from pytrace.kernel.live import LiveKernel, open_elf
from pytrace.kernel.live_types import LiveTypes
from pytrace.kernel.record import RecordingKernel
from pytrace.linux import maps, progs
from pytrace.linux import uapi as u
from pytrace.linux.syscall import Syscalls
from tests.kernel import asm
from tests.unit.kernel.blobs import SIGNED, TYPEDEF, Blob
from tests.unit.kernel.elves import Part, build

if TYPE_CHECKING:
    from pytrace.kernel.info import KernelInfo

TRACEFS = Path("/sys/kernel/tracing")
GET_CURRENT_TASK = 35
PROBE_READ_KERNEL = 113


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> str:
    directory = tmp_path_factory.mktemp("index")
    directory.chmod(0o700)
    return str(directory)


@pytest.fixture
def live(cache: str) -> LiveKernel:
    return LiveKernel(cache_directory=cache)


def test_the_kernels_identity(live: LiveKernel) -> None:
    who = live.identity()
    assert (who.release, who.arch) == (os.uname().release, os.uname().machine)
    assert who.little_endian == (sys.byteorder == "little")
    assert len(bytes.fromhex(who.build_id)) in (0, 16, 20)


@pytest.mark.needs("tracefs")
def test_every_format_file_is_read(live: LiveKernel) -> None:
    listed = live.tracepoints("*", "*")
    assert not isinstance(listed, Unknown)
    lines = (TRACEFS / "available_events").read_text().split()
    assert [f"{t.category}:{t.event}" for t in listed] == sorted(set(lines))
    for ref in listed:
        layout = live.tracepoint(ref.category, ref.event)
        assert layout is not None, ref
        for field in layout.fields:
            end = field.offset + (4 if field.data_loc else field.type.size)
            assert end <= layout.size, (ref, field)


@pytest.mark.needs("tracefs")
def test_one_tracepoint_is_found_without_the_list(live: LiveKernel) -> None:
    found = live.tracepoints("sched", "sched_switch")
    assert not isinstance(found, Unknown)
    assert [(t.category, t.event) for t in found] == [("sched", "sched_switch")]
    assert live.tracepoints("sched", "no_such_event") == []
    assert live.tracepoints("ftrace", "function") == []
    assert live.tracepoint("..", "events") is None
    assert live.tracepoint("sched", "no_such_event") is None


@pytest.mark.needs("tracefs")
def test_arguments_of_a_system_call(live: LiveKernel) -> None:
    layout = live.tracepoint("syscalls", "sys_enter_openat")
    assert layout is not None
    fields = {f.name: f for f in layout.fields}
    assert list(fields) == ["__syscall_nr", "dfd", "filename", "flags", "mode"]
    assert (fields["filename"].offset, fields["dfd"].type.size) == (24, 8)
    assert isinstance(fields["filename"].type, Ptr)
    assert fields["filename"].type.space == USER


@pytest.mark.needs("tracefs", "btf")
def test_formats_and_types_agree_on_every_record(live: LiveKernel) -> None:
    """The same record is described by tracefs and by struct trace_event_raw_<event>."""
    listed = live.tracepoints("*", "*")
    assert not isinstance(listed, Unknown)
    compared = 0
    for ref in listed:
        typed = live.struct("struct", f"trace_event_raw_{ref.event}")
        layout = live.tracepoint(ref.category, ref.event)
        if typed is None or layout is None:
            continue
        for field in layout.fields:
            name = f"__data_loc_{field.name}" if field.data_loc else field.name
            other = typed.field(name)
            if other is not None:
                assert other.offset == field.offset, (ref, field.name)
                if not field.data_loc:
                    assert other.type.size == field.type.size, (ref, field, other)
                compared += 1
    assert compared > 500


@pytest.mark.needs("root", "btf")
def test_offsets_in_task_struct_lead_to_this_process(live: LiveKernel) -> None:
    """A prog reads pid, tgid and comm of the current task at the offsets of the kernel's BTF."""
    task = live.struct("struct", "task_struct")
    assert task is not None
    pid, tgid, comm = (task.field(name) for name in ("pid", "tgid", "comm"))
    assert pid is not None
    assert tgid is not None
    assert comm is not None
    assert comm.type == Str(length=16)
    system = Syscalls()
    with maps.create(
        system, "out", kind=u.BPF_MAP_TYPE_ARRAY, key_size=4, value_size=24, max_entries=1
    ) as out:
        parts = [asm.call(GET_CURRENT_TASK), asm.alu_reg(asm.R6, "=", asm.R0)]
        for field, size, place in ((pid, 4, 0), (tgid, 4, 4), (comm, 16, 8)):
            parts += [
                asm.load_map_value(asm.R1, out.fd, place),
                asm.mov(asm.R2, size),
                asm.alu_reg(asm.R3, "=", asm.R6),
                asm.alu(asm.R3, "+", field.offset),
                asm.call(PROBE_READ_KERNEL),
            ]
        code = asm.assemble(*parts, asm.return_(0))
        with progs.load(
            system, "task", prog_type=u.BPF_PROG_TYPE_RAW_TRACEPOINT, insns=code
        ) as prog:
            prog.test_run()
        found = out.lookup(b"\0" * 4) or b""
    assert int.from_bytes(found[0:4], sys.byteorder) > 0
    assert int.from_bytes(found[4:8], sys.byteorder) == os.getpid()
    assert found[8:24].split(b"\0")[0] == Path("/proc/thread-self/comm").read_bytes().strip()


STRUCTS = {
    "iovec": ("sys/uio.h", "iov_base iov_len"),
    "pollfd": ("poll.h", "fd events revents"),
    "ethhdr": ("linux/if_ether.h", "h_dest h_source h_proto"),
    "iphdr": ("linux/ip.h", "tos tot_len frag_off ttl saddr daddr"),
    "tcphdr": ("linux/tcp.h", "source dest seq ack_seq window urg_ptr"),
    "rlimit": ("sys/resource.h", "rlim_cur rlim_max"),
    "perf_event_attr": ("linux/perf_event.h", "type size config sample_period bp_type config1"),
}


@pytest.mark.needs("gcc", "btf")
def test_structs_of_the_user_api_are_as_the_compiler_lays_them_out(
    live: LiveKernel, tmp_path: Path
) -> None:
    lines = []
    for name, (_, members) in STRUCTS.items():
        for member in members.split():
            place = f"offsetof(struct {name}, {member})"
            size = f"sizeof(((struct {name} *)0)->{member})"
            lines.append(f'printf("{name} {member} %zu %zu\\n", {place}, {size});')
    headers = "\n".join(f"#include <{h}>" for h in ("stdio.h", "stddef.h", *HEADERS))
    source = tmp_path / "offsets.c"
    source.write_text(f"{headers}\nint main(void) {{ {' '.join(lines)} }}\n")
    program = tmp_path / "offsets"
    subprocess.run(["gcc", "-o", str(program), str(source)], check=True)
    output = subprocess.run([str(program)], check=True, capture_output=True, text=True).stdout
    for line in output.splitlines():
        name, member, offset, size = line.split()
        definition = live.struct("struct", name)
        assert definition is not None
        field = definition.field(member)
        assert field is not None, line
        assert (field.offset, field.type.size) == (int(offset), int(size)), line


HEADERS = sorted({header for header, _ in STRUCTS.values()})


@pytest.mark.needs("btf")
def test_functions_enums_and_typedefs(live: LiveKernel) -> None:
    read = live.function("vfs_read")
    assert read is not None
    assert [name for name, _ in read.params] == ["file", "buf", "count", "pos"]
    assert isinstance(read.params[0][1], Ptr)
    assert read.params[0][1].space == KERNEL
    assert live.function("vfs_read", "vmlinux") == read
    assert live.function("vfs_read", "no_such_module") is None
    ringbuf = live.enum_constant("BPF_MAP_TYPE_RINGBUF")
    assert ringbuf is not None
    assert (ringbuf[0], str(ringbuf[1])) == (27, "enum bpf_map_type")
    pid_t = live.typedef("pid_t")
    assert pid_t is not None
    assert str(pid_t) == "int32"
    assert live.struct("struct", "no_such_struct") is None
    assert not live.typeless_memory()
    switch = live.raw_tracepoint("sched_switch")
    assert switch is not None
    assert {"prev", "next"} <= {name for name, _ in switch.params}
    kinds = live.iterators("*")
    assert not isinstance(kinds, Unknown)
    assert {"task", "bpf_map"} <= {k.name for k in kinds}


@pytest.mark.needs("btf")
def test_traceable_functions(live: LiveKernel) -> None:
    found = live.functions("vfs_rea*")
    if isinstance(found, Unknown):
        pytest.skip("needs root: neither traceable functions nor symbols can be read")
    assert ("vfs_read", "vmlinux") in {(f.name, f.module) for f in found}
    assert found == sorted(found, key=lambda f: (f.name, f.module))
    assert live.functions("vfs_read") == [f for f in found if f.name == "vfs_read"]
    assert live.functions("no_such_function_at_all") == []


def test_a_given_list_of_traceable_functions(tmp_path: Path) -> None:
    listing = tmp_path / "functions"
    listing.write_text("vfs_read\ntcp_send [tcp]\n")
    kernel = LiveKernel(traceable=str(listing))
    found = kernel.functions("*")
    assert not isinstance(found, Unknown)
    assert [(f.name, f.module) for f in found] == [("tcp_send", "tcp"), ("vfs_read", "vmlinux")]
    missing = LiveKernel(traceable=f"{tmp_path}/none").functions("*")
    assert isinstance(missing, Unknown)


@pytest.mark.needs("root")
def test_kernel_symbols_by_name_and_address() -> None:
    symbols = Kallsyms(Path("/proc/kallsyms").read_bytes())
    assert not symbols.hidden
    for name in ("vfs_read", "schedule", "tcp_sendmsg", "do_exit"):
        address = symbols.address(name)
        assert address is not None
        found = symbols.find(address + 1)
        assert found is not None
        assert symbols.address(found[0]) == address
        assert found[1:] == ("", 1)


@pytest.mark.needs("btf")
def test_the_index_is_kept_and_a_damaged_one_made_again(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    plain = LiveKernel().struct("struct", "task_struct")
    assert plain is not None

    def fields() -> object:
        found = LiveKernel(cache_directory=str(tmp_path)).struct("struct", "task_struct")
        return found and found.fields

    assert fields() == plain.fields
    (path,) = tmp_path.iterdir()
    good = path.read_bytes()
    written = path.stat().st_mtime_ns, path.stat().st_ino
    assert fields() == plain.fields
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == written
    for damaged in (good[:-8], good[:5000] + b"\xff" + good[5001:], b""):
        path.write_bytes(damaged)
        assert fields() == plain.fields
        assert path.read_bytes() == good
    path.chmod(0o666)
    assert fields() == plain.fields
    assert path.stat().st_mode & 0o777 == 0o600  # not believed, but replaced
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.needs("btf")
def test_without_a_place_for_the_index_types_are_read_all_the_same(tmp_path: Path) -> None:
    assert LiveKernel(cache_directory=f"{tmp_path}/none").struct("struct", "file") is not None


def types_of_a_module(directory: Path) -> None:
    """A kernel of one struct and a module of another, as /sys/kernel/btf shows them."""
    base = Blob()
    base.struct("core", 4, ("x", base.integer("int", 4, SIGNED), 0))
    module = Blob(base=base)
    module.struct("extra", 8, ("core", 2, 0))
    module.function("extra_init", 0)
    module.add(TYPEDEF, "btf_trace_extra_event", module.ptr(module.proto(0, ("", 0), ("n", 1))))
    (directory / "vmlinux").write_bytes(base.data())
    (directory / "extra_mod").write_bytes(module.data())


def test_types_of_modules_are_found_after_the_kernels(tmp_path: Path) -> None:
    types_of_a_module(tmp_path)
    types = LiveTypes("", "", "", directory=str(tmp_path))
    assert [btf.module for btf in types.all()] == ["vmlinux", "extra_mod"]
    assert [btf.module for btf in types.all("extra")] == ["vmlinux", "extra_mod"]
    unread = LiveTypes("", "", "", directory=str(tmp_path))
    assert [btf.module for btf in unread.all("core_only")] == ["vmlinux"]
    module = types.module("extra_mod")
    assert module is not None
    extra = module.struct("struct", "extra")
    assert extra is not None
    assert extra.fields[0].name == "core"
    assert module.raw_tracepoint("extra_event") is not None
    assert types.module("none") is None
    assert not LiveTypes("", "", "", directory=f"{tmp_path}/none").exist()


@pytest.mark.parametrize("inside_elf", [False, True])
def test_types_from_a_file(tmp_path: Path, inside_elf: bool) -> None:
    blob = Blob()
    blob.struct("mine", 4, ("x", blob.integer("int", 4, SIGNED), 0))
    path = tmp_path / "types"
    path.write_bytes(build([Part(".BTF", 1, blob.data())]) if inside_elf else blob.data())
    kernel = LiveKernel(btf_path=str(path))
    assert kernel.struct("struct", "mine") is not None
    assert kernel.struct("struct", "task_struct") is None
    assert set(kernel.rests_on("struct", ("struct", "mine"))) == {(witness.FILE, str(path))}
    path.write_bytes(b"junk" * 10)
    with pytest.raises(BtfError):
        LiveKernel(btf_path=str(path)).struct("struct", "mine")


@pytest.mark.needs("btf")
def test_a_closed_tracefs_leaves_what_the_types_tell(tmp_path: Path) -> None:
    kernel = LiveKernel(tracefs=f"{tmp_path}/none")
    assert isinstance(kernel.tracepoints("sched", "*"), Unknown)
    assert isinstance(kernel.tracepoints("sched", "sched_process_exec"), Unknown)
    layout = kernel.tracepoint("sched", "sched_process_exec")
    assert layout is not None
    assert [f.name for f in layout.fields][:2] == ["filename", "pid"]
    assert layout.fields[0].data_loc


def libc() -> str:
    with open("/proc/self/maps") as file:
        return next(line.split()[5] for line in file if "/libc.so" in line or "/libc-" in line)


def reference_functions(path: str) -> set[tuple[str, int]]:
    """(name without version, address) of the functions that pyelftools finds in a file."""
    found = set()
    with open(path, "rb") as file:
        for section in ELFFile(file).iter_sections():
            if isinstance(section, SymbolTableSection):
                for symbol in section.iter_symbols():
                    kind = symbol["st_info"]["type"]
                    if symbol["st_shndx"] != "SHN_UNDEF" and kind in ("STT_FUNC", "STT_LOOS"):
                        found.add((symbol.name.partition("@")[0], symbol["st_value"]))
    return found


@pytest.mark.parametrize("path", [sys.executable, "/bin/bash", "libc"])
def test_functions_of_a_file_are_those_that_another_reader_finds(
    live: LiveKernel, path: str
) -> None:
    path = libc() if path == "libc" else os.path.realpath(path)
    binary = LiveKernel(debug_roots=()).binary(path)
    assert binary is not None
    found = {(s.name, s.address) for s in binary.symbols if s.function}
    assert found == reference_functions(path)
    for name, address in sorted(found)[:: max(1, len(found) // 50)]:
        symbol = binary.symbol(name)
        assert symbol is not None
        assert (name, symbol.address) in found, (name, address)


def test_the_offset_of_a_symbol_is_where_its_code_lies_in_the_file(live: LiveKernel) -> None:
    path = libc()
    binary = live.binary(path)
    assert binary is not None
    symbol = binary.symbol("getpid")
    assert symbol is not None
    with open(path, "rb") as file:
        file.seek(symbol.offset)
        in_file = file.read(8)
    address = ctypes.cast(ctypes.CDLL(None).getpid, ctypes.c_void_p).value
    assert address is not None
    assert ctypes.string_at(address, 8) == in_file


def test_what_is_no_binary(live: LiveKernel, tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "script").write_text("#!/bin/sh\n")
    for path in ("empty", "script", "none", "."):
        assert live.binary(f"{tmp_path}/{path}") is None


@pytest.mark.needs("gcc", "sdt")
@pytest.mark.parametrize("options", [("-pie", "-fPIE"), ("-no-pie",)])
def test_usdt_probes_of_a_compiled_program(tmp_path: Path, options: tuple[str, ...]) -> None:
    source = tmp_path / "usdt.c"
    source.write_text(
        """
        #define _SDT_HAS_SEMAPHORES 1
        #include <sys/sdt.h>
        unsigned short app_start_semaphore __attribute__((section(".probes")));
        unsigned short app_stop_semaphore __attribute__((section(".probes")));
        int main(int argc, char **argv) {
            STAP_PROBE2(app, start, argc, argv);
            STAP_PROBE(app, stop);
            return 0;
        }
        """
    )
    program = tmp_path / "usdt"
    subprocess.run(["gcc", "-O1", *options, "-o", str(program), str(source)], check=True)
    binary = LiveKernel().binary(str(program))
    assert binary is not None
    assert binary.kind == ("exec" if "-no-pie" in options else "dyn")
    assert [(p.namespace, p.name) for p in binary.usdt] == [("app", "start"), ("app", "stop")]
    main, raw = binary.symbol("main"), program.read_bytes()
    assert main is not None
    for probe in binary.usdt:
        assert main.offset <= probe.offset < main.offset + main.size
        assert raw[probe.offset] == 0x90 or os.uname().machine != "x86_64"  # a nop
        semaphore = binary.symbol(f"app_{probe.name}_semaphore")
        assert semaphore is not None
        assert probe.semaphore == semaphore.offset
    assert len(binary.usdt[0].args.split()) == 2


@pytest.mark.needs("gcc")
def test_symbols_of_a_stripped_file_come_from_its_debug_file(tmp_path: Path) -> None:
    source = tmp_path / "app.c"
    source.write_text("static int __attribute__((noinline)) inner(int x) { return x * 7; }\n"
                      "int main(int argc, char **argv) { return inner(argc); }\n")  # fmt: skip
    program, roots = tmp_path / "app", tmp_path / "debug"
    subprocess.run(["gcc", "-g", "-Wl,--build-id", "-o", str(program), str(source)], check=True)
    elf = Elf(program.read_bytes())
    whole = LiveKernel().binary(str(program))
    build_id = elf.build_id()
    place = roots / ".build-id" / build_id[:2] / f"{build_id[2:]}.debug"
    place.parent.mkdir(parents=True)
    subprocess.run(["objcopy", "--only-keep-debug", str(program), str(place)], check=True)
    subprocess.run(["strip", "--strip-all", str(program)], check=True)
    bare = LiveKernel(debug_roots=()).binary(str(program))
    helped = LiveKernel(debug_roots=[str(roots)]).binary(str(program))
    assert whole is not None
    assert bare is not None
    assert helped is not None
    assert bare.symbol("inner") is None
    assert whole.symbol("inner") is not None
    assert helped.symbol("inner") == whole.symbol("inner")


def test_targets_by_name(live: LiveKernel) -> None:
    name = os.path.basename(libc())
    assert [os.path.realpath(p) for p in live.resolve_target(name, None)] == [
        os.path.realpath(libc())
    ]
    (mine,) = live.resolve_target("libc", os.getpid())
    assert os.path.samefile(mine, libc())
    assert live.resolve_target("sh", None)[0].endswith("/sh")
    assert any(os.path.samefile(p, libc()) for p in live.resolve_target("*", os.getpid()))
    assert live.resolve_target("no-such-program", None) == ()


def test_features_are_those_of_the_trials(live: LiveKernel) -> None:
    assert live.supports("btf") == os.path.exists("/sys/kernel/btf/vmlinux") or os.geteuid() != 0
    with pytest.raises(KeyError):
        live.supports("no_such_feature")


def open_everything(kernel: KernelInfo) -> list[object]:
    bash = kernel.binary("/bin/bash")
    task = kernel.struct("struct", "task_struct")
    return [
        kernel.identity(),
        task and (task.size, task.fields),
        kernel.tracepoint("syscalls", "sys_enter_openat"),
        kernel.tracepoint("sched", "sched_process_exec"),
        kernel.typedef("pid_t"),
        kernel.function("vfs_read"),
        kernel.enum_constant("BPF_MAP_TYPE_RINGBUF"),
        bash and (bash.symbol("main"), bash.usdt, bash.build_id),
        tuple(kernel.resolve_target("sh", None)),
        kernel.supports("ringbuf"),
        kernel.typeless_memory(),
    ]


@pytest.mark.needs("root", "btf", "tracefs")
def test_this_machine_recorded_and_replayed(live: LiveKernel, tmp_path: Path) -> None:
    recording = RecordingKernel(live, live.rests_on)
    answers = open_everything(recording)
    snapshot.save(recording, f"{tmp_path}/facts")
    assert open_everything(snapshot.load(f"{tmp_path}/facts")) == answers
    for kind, subject, value in recording.witnesses():
        assert witness.check_witness(kind, subject) == value
    subjects = {(kind, subject) for kind, subject, _ in recording.witnesses()}
    assert {(witness.FILE, "/bin/bash"), (witness.KERNEL, ""), (witness.BOOT, "")} <= subjects


CHECKS = """
import sys
from pytrace.kernel import witness
opened = []
sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == "open" else None)
for kind in (witness.KERNEL, witness.BOOT, witness.EVENTS):
    witness.check_witness(kind, "")
witness.check_witness(witness.FILE, "/bin/bash")
witness.check_witness(witness.ENVIRONMENT, "PATH")
print(*sorted(opened))
print(*sorted(m for m in sys.modules if m.startswith("pytrace")))
"""


def test_witnesses_open_a_few_small_files_only() -> None:
    output = subprocess.run(
        [sys.executable, "-c", CHECKS], check=True, capture_output=True, text=True
    ).stdout
    opened, modules = (line.split() for line in output.splitlines())
    assert set(opened) <= {
        "/proc/modules",
        "/proc/self/status",
        "/proc/sys/kernel/random/boot_id",
        "/sys/kernel/notes",
        "/sys/kernel/tracing/dynamic_events",
    }
    assert modules == ["pytrace", "pytrace.kernel", "pytrace.kernel.witness"]


def test_an_elf_file_stays_readable_after_it_was_removed(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.write_bytes(Path("/bin/sh").read_bytes())
    elf = open_elf(str(copy))
    copy.unlink()
    assert elf is not None
    assert elf.sections
