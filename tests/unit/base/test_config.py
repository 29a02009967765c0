"""The table of config variables: defaults, values, texts, precedence."""

from __future__ import annotations

import pytest

from pytrace.base.config import (
    VARIABLES,
    Config,
    Problem,
    from_entries,
    from_environment,
    lookup,
)
from pytrace.base.text import parse_integer

DEFAULTS = {
    "cache_user_symbols": "",
    "cpp_demangle": True,
    "lazy_symbolication": True,
    "license": "GPL",
    "log_size": 1000000,
    "max_bpf_progs": 1024,
    "max_cat_bytes": 10240,
    "max_map_keys": 4096,
    "max_probes": 1024,
    "max_strlen": 1024,
    "missing_probes": "error",
    "on_stack_limit": 32,
    "perf_rb_pages": 0,
    "print_maps_on_exit": True,
    "show_debug_info": True,
    "stack_mode": "bpftrace",
    "str_trunc_trailer": "..",
    "use_blazesym": True,
    "unstable_tseries": "warn",
    "unstable_dw_ustack": "warn",
    "unstable_typeinfo": "error",
    "unstable_import_statement": "error",
}


def value_of(key: str, raw: int | str | bool) -> object:
    settings, problems = from_entries([(key, raw)])
    assert problems == ()
    return settings[0][1]


def only_problem(key: str, raw: int | str | bool) -> Problem:
    settings, problems = from_entries([(key, raw)])
    assert len(problems) == 1
    assert settings == ()
    return problems[0]


def test_every_variable_has_its_documented_default_in_order() -> None:
    assert list(Config().items()) == list(DEFAULTS.items())


def test_every_variable_has_a_text_for_the_manual_and_a_known_stage() -> None:
    for name, var in VARIABLES.items():
        assert var.doc.endswith("."), name
        assert var.stage in ("compile", "run"), name
        assert var.env == "PYTRACE_" + name.upper()


@pytest.mark.parametrize("word", ["1", "true", "ON", "yes", True, 1, 7])
def test_words_for_true(word: int | str | bool) -> None:
    assert value_of("print_maps_on_exit", word) is True


@pytest.mark.parametrize("word", ["0", "False", "off", "NO", False, 0])
def test_words_for_false(word: int | str | bool) -> None:
    assert value_of("print_maps_on_exit", word) is False


@pytest.mark.parametrize(
    ("raw", "value"),
    [(5, 5), ("12", 12), ("0x20", 32), ("1_000", 1000), ("1e3", 1000), ("010", 8), (True, 1)],
)
def test_forms_of_numbers(raw: int | str | bool, value: int) -> None:
    assert value_of("max_strlen", raw) == value
    assert type(value_of("max_strlen", raw)) is int


@pytest.mark.parametrize(
    ("key", "raw", "value"),
    [
        ("missing_probes", "WARN", "warn"),
        ("stack_mode", "perf", "perf"),
        ("stack_mode", "pytrace", "bpftrace"),
        ("license", "Dual MIT/GPL", "Dual MIT/GPL"),
        ("cache_user_symbols", "per_pid", "PER_PID"),
        ("cache_user_symbols", "Per_Program", "PER_PROGRAM"),
        ("cache_user_symbols", "none", "NONE"),
        ("cache_user_symbols", 0, "NONE"),
        ("cache_user_symbols", "0", "NONE"),
        ("cache_user_symbols", "1", ""),
        ("cache_user_symbols", 1, ""),
        ("cache_user_symbols", False, "NONE"),
        ("unstable_tseries", "ENABLE", "enable"),
        ("unstable_tseries", "Off", "error"),
        ("unstable_tseries", True, "enable"),
        ("unstable_tseries", 0, "error"),
        ("str_trunc_trailer", "", ""),
        ("str_trunc_trailer", 5, "5"),
    ],
)
def test_words(key: str, raw: int | str | bool, value: str) -> None:
    assert value_of(key, raw) == value


LICENSE_TEXT = (
    "Invalid value for license. Found: {}. Valid values: Dual MIT/GPL, Dual BSD/GPL, "
    "Dual MPL/GPL, GPL and additional rights, GPL v2, GPL. Read more about BPF programs and "
    "licensing: https://docs.kernel.org/bpf/bpf_licensing.html"
    "#using-bpf-programs-in-the-linux-kernel"
)


@pytest.mark.parametrize(
    ("key", "raw", "text"),
    [
        ("max_strlen", "x", "max_strlen: expecting a number, got x"),
        ("MAX_STRLEN", "foo", "MAX_STRLEN: expecting a number, got foo"),
        ("BPFTRACE_MAX_STRLEN", "foo", "BPFTRACE_MAX_STRLEN: expecting a number, got foo"),
        ("max_strlen", "", "max_strlen: expecting a number, got "),
        ("max_strlen", "1k", "max_strlen: expecting a number, got 1k"),
        ("max_strlen", "-5", "max_strlen: expecting a number, got -5"),
        ("max_strlen", "9" * 26, "max_strlen: expecting a number, got " + "9" * 26),
        (
            "cpp_demangle",
            "maybe",
            "cpp_demangle: Invalid bool value: valid values are true, false, 1 or 0.",
        ),
        (
            "cpp_demangle",
            "2",
            "cpp_demangle: Invalid bool value: valid values are true, false, 1 or 0.",
        ),
        (
            "missing_probes",
            1,
            "missing_probes: Invalid value for missing_probes: valid values are ignore, warn, "
            "and error.",
        ),
        (
            "stack_mode",
            "PERF",
            "stack_mode: Invalid value for stack_mode: valid values are bpftrace, raw, perf, "
            "and build_id.",
        ),
        (
            "cache_user_symbols",
            "x",
            "cache_user_symbols: Invalid value for cache_user_symbols: valid values are PER_PID, "
            "PER_PROGRAM, and NONE.",
        ),
        (
            "unstable_typeinfo",
            "2",
            "unstable_typeinfo: Invalid value for unstable config: valid values are enable, "
            "warn, and error.",
        ),
        ("license", "gpl v2", LICENSE_TEXT.format("gpl v2")),
        ("license", True, LICENSE_TEXT.format("1")),
        ("foo", 1, "foo: not a known configuration option"),
        ("bpftrace_foo", 1, "bpftrace_foo: not a known configuration option"),
        ("color", 1, "color: not a known configuration option"),
        ("btf", "x", "btf: can only be set as an environment variable"),
        ("Bpftrace_BTF", "x", "Bpftrace_BTF: can only be set as an environment variable"),
        ("vmlinux", "x", "vmlinux: can only be set as an environment variable"),
    ],
)
def test_texts_of_wrong_entries(key: str, raw: int | str | bool, text: str) -> None:
    problem = only_problem(key, raw)
    assert (problem.severity, problem.text, problem.key) == ("ERROR", text, key)


def test_renamed_entries_are_warned_about_and_applied() -> None:
    settings, problems = from_entries(
        [("strlen", 5), ("no_cpp_demangle", True), ("cat_bytes_max", 7), ("MAP_KEYS_MAX", 8)]
    )
    assert settings == (
        ("cpp_demangle", True),
        ("max_cat_bytes", 7),
        ("max_map_keys", 8),
        ("max_strlen", 5),
    )
    assert [(p.severity, p.index, p.text) for p in problems] == [
        ("WARNING", 0, "strlen has been renamed, please use max_strlen"),
        ("WARNING", 1, "no_cpp_demangle has been renamed, please use cpp_demangle"),
        ("WARNING", 2, "cat_bytes_max has been renamed, please use max_cat_bytes"),
        ("WARNING", 3, "MAP_KEYS_MAX has been renamed, please use max_map_keys"),
    ]


def test_a_renamed_entry_with_a_wrong_value_names_the_new_key() -> None:
    _, problems = from_entries([("STRLEN", "foo")])
    assert [p.text for p in problems if p.severity == "ERROR"] == [
        "max_strlen: expecting a number, got foo"
    ]


@pytest.mark.parametrize(
    "key",
    [
        "symbol_source",
        "max_type_res_iterations",
        "unstable_addr",
        "unstable_import",
        "unstable_macro",
        "unstable_map_decl",
    ],
)
def test_entries_without_effect(key: str) -> None:
    problem = only_problem(key, "anything")
    assert problem.severity == "WARNING"
    assert problem.text == f"{key} is deprecated and has no effect"


def test_the_last_entry_of_a_block_wins() -> None:
    assert from_entries([("max_strlen", 5), ("PYTRACE_MAX_STRLEN", 7)])[0] == (("max_strlen", 7),)


def test_problems_name_the_entry() -> None:
    _, problems = from_entries([("max_strlen", 5), ("nosuch", 1), ("log_size", "x")])
    assert [p.index for p in problems] == [1, 2]


def test_environment_beats_block_beats_default() -> None:
    block, _ = from_entries([("max_strlen", 5), ("log_size", 6)])
    environment, _ = from_environment({"PYTRACE_MAX_STRLEN": "9"})
    config = Config(block, environment)
    assert (config.max_strlen, config.log_size, config.max_probes) == (9, 6, 1024)


def test_our_prefix_beats_the_other() -> None:
    environ = {"BPFTRACE_MAX_STRLEN": "7", "PYTRACE_MAX_STRLEN": "8", "BPFTRACE_LOG_SIZE": "9"}
    assert from_environment(environ)[0] == (("log_size", 9), ("max_strlen", 8))
    assert lookup({"PYTRACE_COLOR": "", "BPFTRACE_COLOR": "always"}, "COLOR") == ""


def test_the_environment_has_only_current_upper_case_names() -> None:
    environ = {"BPFTRACE_STRLEN": "5", "PYTRACE_max_strlen": "x", "PYTRACE_SYMBOL_SOURCE": "1"}
    assert from_environment(environ) == ((), ())


def test_wrong_environment_values() -> None:
    _, problems = from_environment({"PYTRACE_MAX_STRLEN": "x", "PYTRACE_CPP_DEMANGLE": "u"})
    assert [p.text for p in problems] == [
        "cpp_demangle: Invalid bool value: valid values are true, false, 1 or 0.",
        "max_strlen: expecting a number, got x",
    ]


def test_config_is_immutable_and_compares_by_value() -> None:
    config = Config([("max_strlen", 5)])
    with pytest.raises(AttributeError):
        config.max_strlen = 6
    assert config == Config([("max_strlen", 5)])
    assert config != Config()
    assert hash(config) == hash(Config([("max_strlen", 5)]))


def test_a_layer_with_an_unknown_name_is_a_programming_error() -> None:
    with pytest.raises(KeyError):
        Config([("nosuch", 1)])


def test_each_value_goes_to_its_side() -> None:
    run = dict(Config().run_values())
    key = dict(Config().compile_key())
    assert set(run) | set(key) == set(VARIABLES)
    assert set(run) & set(key) == {"max_probes", "missing_probes"}
    assert "max_strlen" in key
    assert "print_maps_on_exit" in run
    assert list(run) == sorted(run)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("017", 15),
        ("08", None),
        ("0X_ff", 255),
        ("0b101", None),
        ("3e6", 3000000),
        ("12e3", None),
        ("1e0", None),
        ("1e20", None),
        ("4294967295u", 4294967295),
        ("4294967296u", None),
        ("9223372036854775807ll", 2**63 - 1),
        ("9223372036854775808ll", None),
        ("5UL", None),
        ("10ms", 10000000),
        ("2h", 7200000000000),
        ("300000d", None),
        ("1_", None),
        ("_1", None),
        ("18446744073709551615", 2**64 - 1),
        ("18446744073709551616", None),
        ("\u0663", None),
        ("1" * 5000, None),
        ("0x" + "f" * 5000, None),
        ("", None),
    ],
)
def test_integer_literals(text: str, value: int | None) -> None:
    assert parse_integer(text) == value
