"""C++ names, read by the C++ library of the machine."""

from __future__ import annotations

import pytest

from pytrace.kernel.demangle import cpp_functions, demangler, without_parameters

SYMBOLS = ("_Z8overloadi", "_Z8overloadli", "_ZNK2ns3BoxIiE3getEPKc", "main", "_Zbroken")

needs_library = pytest.mark.skipif(demangler() is None, reason="no C++ library is installed")


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("f(int)", "f"),
        ("ns::Box<int>::get(char const*) const", "ns::Box<int>::get"),
        ("apply(void (*)(int), char)", "apply"),
        ("A::operator()(int) const", "A::operator()"),
        ("vtable for A", "vtable for A"),
    ],
)
def test_a_name_without_its_parameters(name: str, plain: str) -> None:
    assert without_parameters(name) == plain


@needs_library
def test_patterns_fit_names_with_and_without_parameters() -> None:
    def found(pattern: str) -> list[str]:
        return [f"{f.name} {f.symbol}" for f in cpp_functions(SYMBOLS, pattern)]

    both = ["overload(int) _Z8overloadi", "overload(long, int) _Z8overloadli"]
    assert found("overload") == both
    assert found("over*") == both
    assert found("overload(int)") == both[:1]
    assert found("ns::*") == ["ns::Box<int>::get(char const*) const _ZNK2ns3BoxIiE3getEPKc"]
    assert found("main") == []
