"""Every variable that a ``config`` block or the environment can set, each declared in one place.

``Config`` is the table: one class attribute a variable, which knows how to read a value, what to
say of a wrong one, and where the value matters. Nothing here knows of spans: what is wrong comes
back as a ``Problem``, and the caller, who knows where the text stood, makes the diagnostic.

Precedence, low to high: default, config block, environment (``PYTRACE_X``; if that is unset,
``BPFTRACE_X``).
"""

from __future__ import annotations

from pytrace.base.frozen import FrozenValue
from pytrace.base.text import parse_integer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Final, overload

    from typing_extensions import Self

    Raw = int | str | bool
    """A value as written: of the block's literal kinds, always str from the environment."""
    Settings = tuple[tuple[str, object], ...]
    """Names and values that were set, sorted by name."""

COMPILE: Final = "compile"
RUN: Final = "run"
"""Stages: whether a value changes the code that is made, or only what the run side does."""

PREFIXES: Final = ("PYTRACE_", "BPFTRACE_")
"""Of environment variables, the stronger first; in a block any key may carry one of them."""

ENVIRONMENT_ONLY: Final = ("btf", "kernel_build", "kernel_source", "vmlinux")
"""Names that are taken from the environment alone, which an error says."""

RENAMED: Final = {
    "strlen": "max_strlen",
    "no_cpp_demangle": "cpp_demangle",
    "cat_bytes_max": "max_cat_bytes",
    "map_keys_max": "max_map_keys",
}
"""Old names in a block: warned about, and the value goes to the new name as it is."""

WITHOUT_EFFECT: Final = (
    "symbol_source",
    "max_type_res_iterations",
    "unstable_addr",
    "unstable_import",
    "unstable_macro",
    "unstable_map_decl",
)

_TRUE: Final = ("1", "true", "on", "yes")
_FALSE: Final = ("0", "false", "off", "no")

LICENSES: Final = (
    "Dual MIT/GPL",
    "Dual BSD/GPL",
    "Dual MPL/GPL",
    "GPL and additional rights",
    "GPL v2",
    "GPL",
)


class Problem(FrozenValue):
    """What is wrong with one setting.

    ``index`` is the entry's place in what ``from_entries`` was given, -1 for the environment.
    ``severity`` is ERROR or WARNING; ``code`` and ``text`` are those of a ``Diagnostic``.
    """

    key: str
    severity: str
    code: str
    text: str
    index: int = -1


class ConfigVar:
    """One variable: a data descriptor of ``Config`` that gives the variable's value.

    ``stage`` says where the value matters. ``carried`` marks a compile-stage value that the run
    side needs as well.
    """

    __slots__ = ("carried", "default", "doc", "name", "stage")

    def __init__(
        self, default: object, *, stage: str = RUN, carried: bool = False, doc: str
    ) -> None:
        self.name = ""
        self.default = default
        self.stage = stage
        self.carried = carried
        self.doc = doc

    def __set_name__(self, owner: type[Config], name: str) -> None:
        self.name = name

    @property
    def env(self) -> str:
        """Its environment variable."""
        return PREFIXES[0] + self.name.upper()

    def parse(self, raw: Raw) -> object:
        """The value that ``raw`` stands for; ``ValueError`` with the text for the user."""
        raise NotImplementedError(type(self).__name__)

    def __set__(self, config: Config, value: object) -> None:
        raise AttributeError("config values are immutable")


class IntVar(ConfigVar):
    """A number that is not negative, written as any integer literal."""

    __slots__ = ()

    if TYPE_CHECKING:

        @overload
        def __get__(self, config: None, owner: type[Config]) -> Self: ...
        @overload
        def __get__(self, config: Config, owner: type[Config]) -> int: ...

    def __get__(self, config: Config | None, owner: type[Config]) -> Self | int:
        return self if config is None else config.get(self.name)  # type: ignore[return-value]

    def parse(self, raw: Raw) -> int:
        if isinstance(raw, int):
            return int(raw)
        value = parse_integer(raw.lstrip(" "))
        if value is None:
            raise ValueError(f"expecting a number, got {raw}")
        return value


class BoolVar(ConfigVar):
    __slots__ = ()

    if TYPE_CHECKING:

        @overload
        def __get__(self, config: None, owner: type[Config]) -> Self: ...
        @overload
        def __get__(self, config: Config, owner: type[Config]) -> bool: ...

    def __get__(self, config: Config | None, owner: type[Config]) -> Self | bool:
        return self if config is None else config.get(self.name)  # type: ignore[return-value]

    def parse(self, raw: Raw) -> bool:
        value = parse_bool(raw)
        if value is None:
            raise ValueError("Invalid bool value: valid values are true, false, 1 or 0.")
        return value


class StrVar(ConfigVar):
    """Any text; numbers count as their digits."""

    __slots__ = ()

    if TYPE_CHECKING:

        @overload
        def __get__(self, config: None, owner: type[Config]) -> Self: ...
        @overload
        def __get__(self, config: Config, owner: type[Config]) -> str: ...

    def __get__(self, config: Config | None, owner: type[Config]) -> Self | str:
        return self if config is None else config.get(self.name)  # type: ignore[return-value]

    def parse(self, raw: Raw) -> str:
        return raw if isinstance(raw, str) else str(int(raw))


class ChoiceVar(StrVar):
    """One word of a few. ``told`` is how an error lists them; ``exact`` respects case."""

    __slots__ = ("choices", "exact", "told")

    def __init__(
        self,
        default: str,
        choices: Mapping[str, str],
        told: str,
        *,
        exact: bool = False,
        stage: str = RUN,
        carried: bool = False,
        doc: str,
    ) -> None:
        super().__init__(default, stage=stage, carried=carried, doc=doc)
        self.choices = choices
        self.told = told
        self.exact = exact

    def parse(self, raw: Raw) -> str:
        text = StrVar.parse(self, raw)
        value = self.choices.get(text if self.exact else text.lower())
        if value is None:
            raise ValueError(f"Invalid value for {self.name}: valid values are {self.told}.")
        return value


class SymbolCacheVar(ChoiceVar):
    """Besides its words: false or 0 for NONE, another number for the default (once a bool)."""

    __slots__ = ()

    def parse(self, raw: Raw) -> str:
        if isinstance(raw, int):
            return str(self.default) if raw else "NONE"
        return ChoiceVar.parse(self, raw)


class LicenseVar(StrVar):
    __slots__ = ()

    def parse(self, raw: Raw) -> str:
        text = StrVar.parse(self, raw)
        if text not in LICENSES:
            raise WholeText(
                f"Invalid value for license. Found: {text}. Valid values: {', '.join(LICENSES)}. "
                "Read more about BPF programs and licensing: https://docs.kernel.org/bpf/"
                "bpf_licensing.html#using-bpf-programs-in-the-linux-kernel"
            )
        return text


class GateVar(StrVar):
    """What happens when a script uses an unstable feature: ``enable``, ``warn`` or ``error``."""

    __slots__ = ()

    def parse(self, raw: Raw) -> str:
        if isinstance(raw, str) and raw.lower() in ("enable", "warn", "error"):
            return raw.lower()
        switch = parse_bool(raw)
        if switch is None:
            raise ValueError(
                "Invalid value for unstable config: valid values are enable, warn, and error."
            )
        return "enable" if switch else "error"


class WholeText(ValueError):
    """A text for the user that is complete without the key in front."""


def parse_bool(raw: Raw) -> bool | None:
    """What a boolean may look like; None for anything else. Any number but 0 written as such is
    true."""
    if isinstance(raw, int):
        return bool(raw)
    word = raw.lower()
    return True if word in _TRUE else False if word in _FALSE else None


class Config:
    """The values of all variables, immutable, each an attribute of its own type.

    Variables stand in the order of language 2.1.
    """

    __slots__ = ("_values",)

    cache_user_symbols = SymbolCacheVar(
        "",
        {"per_pid": "PER_PID", "per_program": "PER_PROGRAM", "none": "NONE", "0": "NONE", "1": ""},
        "PER_PID, PER_PROGRAM, and NONE",
        doc="Keep symbols of user stacks for each program, each process, or not at all; empty: "
        "PER_PROGRAM if addresses are not randomised or -c is used, else PER_PID.",
    )
    cpp_demangle = BoolVar(True, doc="Demangle C++ names in user stacks.")
    lazy_symbolication = BoolVar(True, doc="Look up user symbols when they are printed.")
    license = LicenseVar("GPL", stage=COMPILE, doc="Licence that the kernel is told.")
    log_size = IntVar(1000000, doc="Bytes of the verifier's log.")
    max_bpf_progs = IntVar(1024, stage=COMPILE, doc="Most BPF programs that one script may make.")
    max_cat_bytes = IntVar(10240, doc="Most bytes that cat() prints.")
    max_map_keys = IntVar(4096, stage=COMPILE, doc="Entries of a map without a declaration.")
    max_probes = IntVar(1024, stage=COMPILE, carried=True, doc="Most attach points of a script.")
    max_strlen = IntVar(1024, stage=COMPILE, doc="Bytes of what str(), buf() and path() give.")
    missing_probes = ChoiceVar(
        "error",
        {"ignore": "ignore", "warn": "warn", "error": "error"},
        "ignore, warn, and error",
        stage=COMPILE,
        carried=True,
        doc="What to do about an attach point that cannot be found or attached.",
    )
    on_stack_limit = IntVar(
        32, stage=COMPILE, doc="Bytes above which a value leaves the BPF stack for a map."
    )
    perf_rb_pages = IntVar(0, doc="Pages for events; 0: derived from the free memory.")
    print_maps_on_exit = BoolVar(True, doc="Print all maps that are not empty at the end.")
    show_debug_info = BoolVar(True, doc="Source lines and inlined functions in stacks.")
    stack_mode = ChoiceVar(
        "bpftrace",
        {
            "bpftrace": "bpftrace",
            "pytrace": "bpftrace",
            "raw": "raw",
            "perf": "perf",
            "build_id": "build_id",
        },
        "bpftrace, raw, perf, and build_id",
        exact=True,
        stage=COMPILE,
        doc="Format of stacks that name none.",
    )
    str_trunc_trailer = StrVar("..", doc="Appended to a string that was cut.")
    use_blazesym = BoolVar(True, doc="Accepted; no effect.")
    unstable_tseries = GateVar("warn", stage=COMPILE, doc="Use of tseries().")
    unstable_dw_ustack = GateVar("warn", stage=COMPILE, doc="Use of dw_ustack().")
    unstable_typeinfo = GateVar("error", stage=COMPILE, doc="Use of typeinfo().")
    unstable_import_statement = GateVar("error", stage=COMPILE, doc="import inside a block.")

    def __init__(self, *layers: Iterable[tuple[str, object]]) -> None:
        """Defaults overlaid by parsed values, each layer stronger than those before it."""
        values = {name: var.default for name, var in VARIABLES.items()}
        for layer in layers:
            for name, value in layer:
                if name not in values:
                    raise KeyError(name)
                values[name] = value
        object.__setattr__(self, "_values", values)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("config values are immutable")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Config) and self._values == other._values

    def __hash__(self) -> int:
        return hash(tuple(self._values.values()))

    def __repr__(self) -> str:
        changed = (f"{n}={v!r}" for n, v in self.items() if v != VARIABLES[n].default)
        return f"Config({', '.join(changed)})"

    def get(self, name: str) -> object:
        """A value by the variable's name. ``KeyError`` for an unknown name."""
        values: dict[str, object] = self._values
        return values[name]

    def items(self) -> Iterator[tuple[str, object]]:
        """All names and values in the order of the table."""
        return iter(self._values.items())

    def run_values(self) -> Settings:
        """What the run side needs, sorted by name: ``CompiledProgram.config``."""
        return tuple(
            sorted((n, v) for n, v in self.items() if VARIABLES[n].stage == RUN or _carried(n))
        )

    def compile_key(self) -> Settings:
        """What the generated code depends on, sorted by name."""
        return tuple(sorted((n, v) for n, v in self.items() if VARIABLES[n].stage == COMPILE))

    if TYPE_CHECKING:
        _values: dict[str, object]


VARIABLES: Final[Mapping[str, ConfigVar]] = {
    name: var for name, var in vars(Config).items() if isinstance(var, ConfigVar)
}


def _carried(name: str) -> bool:
    return VARIABLES[name].carried


def from_entries(entries: Iterable[tuple[str, Raw]]) -> tuple[Settings, tuple[Problem, ...]]:
    """Values and problems of a config block, whose entries are (key as written, value).

    A later entry for the same variable wins. Values of entries with an error are left out.
    """
    settings: dict[str, object] = {}
    problems: list[Problem] = []
    for index, (key, raw) in enumerate(entries):
        name = bare_name(key)
        if name in WITHOUT_EFFECT:
            text = f"{key} is deprecated and has no effect"
            problems.append(_problem(key, "WARNING", "config-no-effect", text, index))
            continue
        if name in ENVIRONMENT_ONLY:
            text = f"{key}: can only be set as an environment variable"
            problems.append(_problem(key, "ERROR", "config-environment-only", text, index))
            continue
        shown = key
        if name in RENAMED:
            shown = RENAMED[name]
            text = f"{key} has been renamed, please use {shown}"
            problems.append(_problem(key, "WARNING", "config-renamed", text, index))
            name = shown
        var = VARIABLES.get(name)
        if var is None:
            text = f"{key}: not a known configuration option"
            problems.append(_problem(key, "ERROR", "config-unknown", text, index))
            continue
        try:
            settings[name] = var.parse(raw)
        except ValueError as error:
            problems.append(_problem(key, "ERROR", "config-value", _told(shown, error), index))
    return tuple(sorted(settings.items())), tuple(problems)


def from_environment(environ: Mapping[str, str]) -> tuple[Settings, tuple[Problem, ...]]:
    """Values and problems of the environment, by name. Unknown variables are nobody's business."""
    settings: list[tuple[str, object]] = []
    problems: list[Problem] = []
    for name in sorted(VARIABLES):
        raw = lookup(environ, name.upper())
        if raw is None:
            continue
        try:
            settings.append((name, VARIABLES[name].parse(raw)))
        except ValueError as error:
            problems.append(_problem(name, "ERROR", "config-value", _told(name, error), -1))
    return tuple(settings), tuple(problems)


def lookup(environ: Mapping[str, str], name: str) -> str | None:
    """``PYTRACE_<name>``, or ``BPFTRACE_<name>`` if that is unset, or None."""
    for prefix in PREFIXES:
        if prefix + name in environ:
            return environ[prefix + name]
    return None


def bare_name(key: str) -> str:
    """The variable that a key of a block means: lower case, without prefix."""
    name = key.lower()
    for prefix in PREFIXES:
        if name.startswith(prefix.lower()):
            return name[len(prefix) :]
    return name


def _told(key: str, error: ValueError) -> str:
    return str(error) if isinstance(error, WholeText) else f"{key}: {error}"


def _problem(key: str, severity: str, code: str, text: str, index: int) -> Problem:
    return Problem(key=key, severity=severity, code=code, text=text, index=index)
