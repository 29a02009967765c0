"""Memory: addresses, loads and stores, copies, and reads of foreign memory.

What the verifier wants (kernel/bpf/verifier.c):

- accesses to the stack and the context are aligned to their size; map values, ring records and
  kernel objects need not be where the machine allows it (check_ptr_alignment);
- the context is read at constant offsets from the unchanged pointer (check_ctx_reg). LLVM would
  merge two such loads into one at a chosen offset; an intrinsic keeps it from that.
"""

from __future__ import annotations

from pytrace.codegen.function import FunctionText
from pytrace.codegen.helpers import TABLE
from pytrace.ir import nodes as ir
from pytrace.ir.walk import root
from pytrace.model.events import STATE_MAP

INLINE_COPY, INLINE_ZERO = 128, 256
"""Bytes that are copied and cleared by loads and stores at most: 32 instructions either way.

A helper takes 5 instructions. Measured on 6.18: 128 bytes are copied in 2 ns by loads and stores
and in 26 ns by the helper (1 KiB: 24 and 58), 256 bytes cleared in 3 ns and in 38.
"""

_CONTEXT_LOAD = "llvm.bpf.getelementptr.and.load"


def is_pointer(value: ir.Value) -> bool:
    if isinstance(value, ir.Helper):
        return TABLE[value.name].pointer
    return isinstance(value, ir.POINTERS)


def pointer(f: FunctionText, value: ir.Value) -> str:
    """The operand of a pointer."""
    match value:
        case ir.Context():
            return "%ctx"
        case ir.SlotAddr():
            return f.slot(value.slot)
        case ir.StateAddr():
            return f.offset(f.module.value(STATE_MAP), value.offset)
        case ir.MapValue():
            return f.module.value(value.map)
        case ir.MapRef():
            return f.module.map(value.map)
        case ir.ElementKey() | ir.ElementValue():
            if f.element is None:
                raise ValueError(f"{type(value).__name__} outside of a ForEach")
            return f.element[isinstance(value, ir.ElementValue)]
        case _:
            return f.values[value]


def operand(f: FunctionText, value: ir.Value) -> str:
    """A typed operand: a word or a pointer."""
    return f"ptr {pointer(f, value)}" if is_pointer(value) else f"i64 {f.value(value)}"


def offset(f: FunctionText, node: ir.Offset) -> str:
    base = pointer(f, node.pointer)
    if isinstance(node.bytes, int):
        return f.offset(base, node.bytes)
    if isinstance(node.bytes, ir.Const):
        return f.offset(base, node.bytes.value)
    if node.limit is None:
        raise ValueError("an Offset by a word has no limit")
    return f.op(f"getelementptr i8, ptr {base}, i64 {f.bounded(f.value(node.bytes), node.limit)}")


def alignment(f: FunctionText, value: ir.Value, at: int, size: int) -> int:
    """The alignment to claim for ``size`` bytes at ``value`` + ``at``."""
    known = 8
    while isinstance(value, ir.Offset):
        step = value.bytes.value if isinstance(value.bytes, ir.Const) else value.bytes
        known = min(known, _factor(step))
        value = value.pointer
    on_stack = isinstance(value, ir.SlotAddr) and f.placement.slots[value.slot].kind != "scratch"
    if not on_stack and not isinstance(value, ir.Context):
        return size
    return min(known, _low_bit(at), size)


def _low_bit(number: int) -> int:
    return number & -number if number else 8


def _factor(step: int | ir.Value) -> int:
    """A power of two (at most 8) that an offset is certainly a multiple of."""
    if isinstance(step, int):
        return min(8, _low_bit(step))
    if isinstance(step, ir.Const):
        return min(8, _low_bit(step.value))
    if isinstance(step, ir.BinOp) and step.op == "mul":
        return min(8, _factor(step.left) * _factor(step.right))
    if isinstance(step, ir.BinOp) and step.op == "shl" and isinstance(step.right, ir.Const):
        return min(8, _factor(step.left) << min(step.right.value & 63, 3))
    if isinstance(step, ir.BinOp) and step.op in ("add", "sub"):
        return min(_factor(step.left), _factor(step.right))
    return 1


def extend(f: FunctionText, name: str, bits: int, signed: bool) -> str:
    """An iN as a word."""
    return name if bits == 64 else f.op(f"{'sext' if signed else 'zext'} i{bits} {name} to i64")


def narrow(f: FunctionText, word: str, bits: int) -> str:
    """The low bits of a word as an iN."""
    return word if bits == 64 else f.op(f"trunc i64 {word} to i{bits}")


def load(f: FunctionText, node: ir.Load) -> str:
    source, distance = root(node.pointer)
    if isinstance(source, ir.Context):
        if distance is None:
            raise ValueError("the context is read at a variable offset")
        loaded = load_context(f, distance + node.offset, node.size)
    else:
        at = f.offset(pointer(f, node.pointer), node.offset)
        align = alignment(f, node.pointer, node.offset, node.size)
        loaded = f.op(f"load i{node.size * 8}, ptr {at}, align {align}")
    return extend(f, loaded, node.size * 8, node.signed)


def load_context(f: FunctionText, at: int, size: int) -> str:
    """``size`` bytes of the context as an iN; in aligned pieces where it is not aligned itself."""
    piece = min(size, _low_bit(at))
    if piece == size:
        return _context_piece(f, at, size)
    bits, whole = size * 8, ""
    for n in range(0, size, piece):
        part = f.op(f"zext i{piece * 8} {_context_piece(f, at + n, piece)} to i{bits}")
        part = f.op(f"shl i{bits} {part}, {n * 8}") if n else part
        whole = f.op(f"or i{bits} {whole}, {part}") if whole else part
    return whole


def _context_piece(f: FunctionText, at: int, size: int) -> str:
    bits, log = size * 8, size.bit_length() - 1
    function = f"@{_CONTEXT_LOAD}.i{bits}"
    signature = "(ptr, i1, i8, i8, i8, i1, ...)"
    f.module.declare(function, f"declare i{bits} {function}{signature}")
    # Arguments: not volatile, not atomic, system scope, log2 of the alignment, in bounds, offset.
    return f.op(
        f"call i{bits} {signature} {function}(ptr elementtype(i8) %ctx, i1 false, i8 0, i8 1, "
        f"i8 {log}, i1 true, i64 {at})"
    )


def store(f: FunctionText, node: ir.Store) -> None:
    bits = node.size * 8
    word = f.value(node.value)
    if isinstance(node.value, ir.Const):
        low = node.value.value & ((1 << bits) - 1)
        word = str(low - (1 << bits) if low >> (bits - 1) else low)
    else:
        word = narrow(f, word, bits)
    at = f.offset(pointer(f, node.pointer), node.offset)
    align = alignment(f, node.pointer, node.offset, node.size)
    f.do(f"store i{bits} {word}, ptr {at}, align {align}")


def atomic_add(f: FunctionText, node: ir.AtomicAdd) -> None:
    at = f.offset(pointer(f, node.pointer), node.offset)
    word = narrow(f, f.value(node.value), node.size * 8)
    add(f, at, word, node.size)


def add(f: FunctionText, at: str, word: str, size: int = 8) -> None:
    """Add to memory atomically. The result is unused: that is all that cpu v2 has."""
    f.op(f"atomicrmw add ptr {at}, i{size * 8} {word} monotonic, align {size}")


def _pieces(size: int, align: int) -> list[tuple[int, int]]:
    """Offsets and sizes of the widest accesses that make up ``size`` bytes."""
    pieces, at = [], 0
    while at < size:
        width = min(align, 8)
        while at + width > size:
            width //= 2
        pieces.append((at, width))
        at += width
    return pieces


def copy(f: FunctionText, node: ir.Copy) -> None:
    target, size = pointer(f, node.target), node.size
    if size > INLINE_COPY:
        read_kernel(f, target, size, pointer(f, node.source))
        return
    origin, distance = root(node.source)
    align = min(alignment(f, node.target, 0, 8), alignment(f, node.source, 0, 8))
    source = pointer(f, node.source)
    for at, width in _pieces(size, align):
        bits = width * 8
        if isinstance(origin, ir.Context):
            loaded = load_context(f, (distance or 0) + at, width)
        else:
            loaded = f.op(f"load i{bits}, ptr {f.offset(source, at)}, align {width}")
        f.do(f"store i{bits} {loaded}, ptr {f.offset(target, at)}, align {width}")


def zero(f: FunctionText, node: ir.Zero) -> None:
    target = pointer(f, node.target)
    if node.size > INLINE_ZERO:
        # A failed read clears its target (bpf_probe_read_kernel_common), and null always fails
        # at once (copy_from_kernel_nofault_allowed): a memset for the price of a call.
        read_kernel(f, target, node.size, "null")
        return
    for at, width in _pieces(node.size, alignment(f, node.target, 0, 8)):
        f.do(f"store i{width * 8} 0, ptr {f.offset(target, at)}, align {width}")


def read_kernel(f: FunctionText, target: str, size: int, source: str) -> None:
    """Copy through the helper that reads kernel memory: BPF memory is such memory too."""
    f.helper(_reader(f, "kernel", ""), f"ptr {target}", f"i64 {size}", f"ptr {source}")


def _reader(f: FunctionText, space: str, suffix: str) -> str:
    """Name of the helper that reads ``space``; before Linux 5.5 one helper read both."""
    if "probe_read_kernel" not in f.module.target.features:
        return f"probe_read{suffix}"
    return f"probe_read_{space}{suffix}"


def read(f: FunctionText, node: ir.Read | ir.ReadString) -> str:
    """Reads of foreign memory. On failure the helpers themselves clear the target."""
    suffix = "_str" if isinstance(node, ir.ReadString) else ""
    size = str(node.size) if isinstance(node.size, int) else _limited(f, node.size, node.limit)
    target, address = pointer(f, node.target), f.value(node.address)
    args = (f"ptr {target}", f"i64 {size}", f"i64 {address}")
    bit = ir.KERNEL_BIT.get(f.module.target.arch)
    user, kernel = _reader(f, "user", suffix), _reader(f, "kernel", suffix)
    if node.space != "either" or user == kernel:
        return f.helper(kernel if node.space == "kernel" else user, *args)
    if bit is None:
        return f.helper(kernel, *args)
    return _read_by_half(f, args, address, bit, user, kernel)


def _limited(f: FunctionText, size: ir.Value, limit: int | None) -> str:
    if limit is None:
        raise ValueError("a read of variable size has no limit")
    return f.bounded(f.value(size), limit)


def _read_by_half(
    f: FunctionText, args: tuple[str, ...], address: str, bit: int, user: str, kernel: str
) -> str:
    """Kernel addresses have the bit set, user addresses have not."""
    upper, lower, after = f.label(), f.label(), f.label()
    shifted = address if bit == 63 else f.op(f"shl i64 {address}, {63 - bit}")
    f.branch(f.op(f"icmp slt i64 {shifted}, 0"), upper, lower)
    f.start(upper)
    from_kernel = f.helper(kernel, *args)
    f.jump(after)
    f.start(lower)
    from_user = f.helper(user, *args)
    f.jump(after)
    f.start(after)
    return f.op(f"phi i64 [ {from_kernel}, %{upper} ], [ {from_user}, %{lower} ]")
