"""The command line as words: getopt's rules, values, and the texts of usage errors."""

from __future__ import annotations

import pytest

from pytrace.base.config import VARIABLES
from pytrace.base.errors import UsageError
from pytrace.cli.options import OPTIONS, Options, parse
from pytrace.cli.usage import usage, version


def parsed(*words: str) -> Options:
    return parse(words)


def error(*words: str) -> UsageError:
    with pytest.raises(UsageError) as caught:
        parse(words)
    return caught.value


def test_a_program_with_arguments() -> None:
    options = parsed("-e", "begin {}", "a", "b")
    assert (options.action, options.program, options.file) == ("run", "begin {}", None)
    assert options.params == ("a", "b")


def test_a_file_with_arguments() -> None:
    options = parsed("x.bt", "1", "two")
    assert (options.program, options.file, options.params) == (None, "x.bt", ("1", "two"))


def test_standard_input_is_an_operand() -> None:
    assert parsed("-q", "-").file == "-"


def test_options_may_stand_anywhere_before_the_dashes() -> None:
    options = parsed("x.bt", "-q", "1", "--unsafe", "2")
    assert (options.file, options.params) == ("x.bt", ("1", "2"))
    assert options.quiet
    assert options.unsafe


def test_what_follows_the_dashes_is_the_scripts() -> None:
    options = parsed("-e", "begin {}", "1", "--", "-2", "--limit=9", "--all", "3", "--", "--x=")
    assert options.params == ("1", "-2", "3")
    assert options.script_options == (("limit", "9"), ("all", None), ("", None), ("x", ""))


def test_a_script_after_the_dashes() -> None:
    options = parsed("-q", "--", "x.bt", "1")
    assert (options.file, options.params) == ("x.bt", ("1",))


def test_short_options_bundle_and_take_arguments_in_both_ways() -> None:
    options = parsed("-qve", "begin {}", "-ofile", "-B", "full")
    assert options.quiet
    assert options.verbose
    assert (options.program, options.output, options.buffering) == ("begin {}", "file", "full")


def test_dashes_may_be_the_argument_of_an_option() -> None:
    assert parsed("-e", "--", "x").program == "--"
    assert parsed("-qe", "--").program == "--"
    assert parsed("--output", "--", "x.bt").output == "--"


def test_long_options_take_arguments_in_both_ways_and_may_be_shortened() -> None:
    assert parsed("--output=a=b", "x").output == "a=b"
    assert parsed("--output", "b", "x").output == "b"
    assert parsed("--out", "b", "x").output == "b"
    assert parsed("--verb", "x").verbose


def test_the_last_value_wins_and_lists_add_up() -> None:
    options = parsed(
        "-e", "a", "-e", "b", "-I", "x", "-Iy", "--include", "h", "-d", "ast,types", "-d", "dis"
    )
    assert options.program == "b"
    assert options.include_dirs == ["x", "y"]
    assert options.include_files == ["h"]
    assert options.stages == ["ast", "types", "dis"]


def test_help_and_version_end_everything() -> None:
    assert parsed("-h", "--nosuch").action == "help"
    assert parsed("-V", "-h").action == "version"
    assert parsed("-qhz").action == "help"
    assert parsed("-l", "--version").action == "version"


def test_listing_takes_a_search_or_a_program() -> None:
    assert (parsed("-l").action, parsed("-l").file) == ("list", None)
    assert parsed("-lv", "t:*").file == "t:*"
    assert parsed("--list", "t:*").file == "t:*"
    assert parsed("-l", "-e", "begin {}").program == "begin {}"


def test_modes() -> None:
    assert parsed("--test", "x").mode == "test"
    assert parsed("--bench", "x").mode == "bench"
    assert parsed("--fmt", "x").mode == "format"
    assert parsed("--mode", "codegen", "x").mode == "codegen"
    assert parsed("--test", "--mode", "bench", "x").mode == "bench"


def test_options_without_effect_are_accepted() -> None:
    assert parsed("-b", "--btf", "--usdt-file-activation", "x").file == "x"


def test_an_empty_program_counts_as_none() -> None:
    assert parsed("-e", "", "x.bt").file == "x.bt"
    assert str(error("-e", "")) == "USAGE: filename or -e 'program' required."


@pytest.mark.parametrize(
    ("text", "pid"), [("1", 1), ("0x10", 16), ("4194304", 4194304), ("1_0", 10), ("0", 0)]
)
def test_process_ids(text: str, pid: int) -> None:
    assert parsed("-p", text, "x").pid == pid


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["-q"], "USAGE: filename or -e 'program' required."),
        (["-B", "foo", "x"], "USAGE: -B must be either 'line', 'full', or 'none'."),
        (["-f", "xml", "x"], "Invalid output format \"xml\"\nValid formats: 'text', 'json'"),
        (["-d", "foo", "x"], "USAGE: invalid option for -d: foo"),
        (["-d", "ast,", "x"], "USAGE: invalid option for -d: "),
        (["-dd", "x"], "USAGE: invalid option for -d: d"),
        (["-k", "--no-warnings", "x"], "USAGE: -k, --warnings conflicts with --no-warnings"),
        (
            ["-kk", "x"],
            "USAGE: -kk has been deprecated. Use a single -k for runtime warnings for errors in "
            "map lookups and probe reads.",
        ),
        (
            ["--no-feature", "kprobe_multi,foo", "x"],
            "USAGE: --no-feature can only have values 'kprobe_multi,kprobe_session,uprobe_multi'.",
        ),
        (
            ["--mode", "foo", "x"],
            "USAGE: --mode can only be 'codegen', 'compiler-bench', 'bench', 'test' or 'format'.",
        ),
        (["--bench", "--test", "x"], "USAGE: --test conflicts with existing --mode"),
        (["--test", "--bench", "x"], "USAGE: --bench conflicts with existing --mode"),
        (["--mode", "test", "--fmt", "x"], "USAGE: --fmt conflicts with existing --mode"),
        (["-p", "abc", "x"], "Failed to parse pid: invalid integer: abc"),
        (["-p", "12abc", "x"], "Failed to parse pid: invalid trailing bytes: 12abc"),
        (["-p", "", "x"], "Failed to parse pid: invalid integer: "),
        (["--dwarf-pid", "x", "x"], "Failed to parse pid: invalid integer: x"),
        (["-p", "99999999", "x"], "Pid out of range: 99999999"),
        (["-p", "-1", "x"], "Pid out of range: 18446744073709551615"),
    ],
)
def test_usage_errors(words: list[str], text: str) -> None:
    caught = error(*words)
    assert str(caught) == text
    assert not caught.usage


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["-c", "true", "-p", "1", "x"], "USAGE: Cannot use both -c and -p."),
        (["-z"], "pytrace: invalid option -- 'z'"),
        (["-qz"], "pytrace: invalid option -- 'z'"),
        (["--nosuch=1"], "pytrace: unrecognized option '--nosuch'"),
        (["-e"], "pytrace: option requires an argument -- 'e'"),
        (["-qe"], "pytrace: option requires an argument -- 'e'"),
        (["--pid"], "pytrace: option '--pid' requires an argument"),
        (["--info=3"], "pytrace: option '--info' doesn't allow an argument"),
        (
            ["--ver"],
            "pytrace: option '--ver' is ambiguous; possibilities: '--verbose' "
            "'--verify-llvm-ir' '--version'",
        ),
    ],
)
def test_errors_that_the_usage_follows(words: list[str], text: str) -> None:
    caught = error(*words)
    assert str(caught) == text
    assert caught.usage


def test_every_name_is_given_once() -> None:
    shorts = [option.short for option in OPTIONS if option.short]
    longs = [option.long for option in OPTIONS if option.long]
    assert len(shorts) == len(set(shorts))
    assert len(longs) == len(set(longs))


def test_the_usage_names_every_option_and_config_variable() -> None:
    text = usage()
    for option in OPTIONS:
        assert f"-{option.short}" in text if option.short else f"--{option.long}" in text
        assert option.doc.split()[0] in text
    for name in VARIABLES:
        assert f"  {name}" in text
    assert "bpftrace" not in text.replace("(bpftrace)", "")  # the default of stack_mode
    head = text.partition("Examples")[0]
    assert max(len(line) for line in head.splitlines()) <= 100


def test_the_version() -> None:
    assert version() == "pytrace v0.1.0\n"
