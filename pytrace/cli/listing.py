"""``-l``: the attach points and types that a search or a script means (language 13.4)."""

from __future__ import annotations

import os

from pytrace.base.errors import UsageError
from pytrace.base.text import is_wildcard, matches
from pytrace.cache import trusted_directory
from pytrace.cli.machine import open_texts
from pytrace.cli.verbose import teller
from pytrace.kernel.info import Unknown
from pytrace.output.stream import write_all, write_error
from pytrace.probes.provider import KERNEL_PROVIDERS, USER_PROVIDERS, find, load_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Final

    from pytrace.cli.options import Options
    from pytrace.kernel.info import KernelTexts
    from pytrace.probes.provider import Item, Provider

TYPE_WORDS: Final = ("struct", "union", "enum")


def list_items(options: Options, environ: Mapping[str, str]) -> int:
    """Print what ``-l`` asks for; gives the exit code."""
    directory = trusted_directory(environ, teller(options.verbose))
    kernel = open_texts(options, environ, directory)
    lister = Lister(kernel, options)
    if options.program is not None or (options.file is not None and os.path.isfile(options.file)):
        from pytrace.cli.build import script_items

        found = script_items(options, environ, kernel)
        if found is None:
            return 1
        lister.show(found)
        return 0
    if options.params:
        raise UsageError("-l takes one search, or one script", usage=True)
    search = options.file or "*"
    if search.endswith(".bt"):
        lister.warn(
            f"It appears that '{search}' is a filename but the file does not exist. "
            f"Treating '{search}' as a search pattern."
        )
    for pattern in split_outside_quotes(search, ","):
        lister.search(pattern.strip())
    return 0


class Lister:
    """Looks up searches and prints what it finds, each warning once."""

    def __init__(self, kernel: KernelTexts, options: Options) -> None:
        self._kernel = kernel
        self._pid = options.pid
        self._verbose = options.verbose
        self._warnings = options.warnings
        self._warned: set[str] = set()
        self._providers = load_all()

    def warn(self, message: str) -> None:
        if self._warnings and message not in self._warned:
            self._warned.add(message)
            write_error(f"WARNING: {message}\n")

    def search(self, pattern: str) -> None:
        """Print what fits one search, sorted by provider and then by name."""
        word, _, name = pattern.partition(" ")
        if word in TYPE_WORDS and name:
            self._types(word, name.strip())
            return
        provider_name, *fields = split_outside_quotes(pattern, ":")
        if not fields:
            provider_name, fields = "*", [provider_name]
        fields = [field.replace('"', "") for field in fields]
        if is_wildcard(provider_name):
            for provider in self._fitting(provider_name, fields):
                self._list(provider, fields, named=False)
            return
        named = find(self._providers, provider_name)
        if named is not None:
            self._list(named, fields, named=True)

    def _fitting(self, pattern: str, fields: list[str]) -> Iterator[Provider]:
        """The providers that a pattern means; those of files only for a file or a process."""
        has_file = len(fields) > 1 and "/" in fields[0]
        for name in () if has_file else KERNEL_PROVIDERS:
            if matches(pattern, name):
                yield self._providers[name]
        for name in USER_PROVIDERS if has_file or self._pid is not None else ():
            if matches(pattern, name):
                yield self._providers[name]

    def _list(self, provider: Provider, fields: list[str], *, named: bool) -> None:
        """Print a provider's items; those that this kernel refuses, too, with a warning."""
        found = {item.text: item for item in provider.list(fields, self._kernel, self._pid)}
        refused = provider.refused(self._kernel) if found or named else ""
        if refused:
            self.warn(refused)
        self.show((provider, found[text]) for text in sorted(found))

    def show(self, items: Iterable[tuple[Provider, Item]]) -> None:
        lines = []
        for provider, item in items:
            lines.append(f"{item.text}\n")
            if self._verbose:
                lines += [f"    {line}\n" for line in self._arguments(provider, item)]
        _print(lines)

    def _arguments(self, provider: Provider, item: Item) -> Iterable[str]:
        found = provider.arguments(item, self._kernel)
        if isinstance(found, Unknown):
            self.warn(found.reason)
            return ()
        return found

    def _types(self, word: str, pattern: str) -> None:
        if self._verbose:
            found = self._kernel.type_texts(word, pattern)
            _print([f"{module}: {text}\n" for module, text in found])
        else:
            _print([f"{word} {name}\n" for name in self._kernel.type_names(word, pattern)])


def split_outside_quotes(text: str, separator: str) -> list[str]:
    """Pieces between separators that stand outside of double quotes; the quotes stay."""
    pieces = [""]
    quoted = False
    for c in text:
        if c == '"':
            quoted = not quoted
        if c == separator and not quoted:
            pieces.append("")
        else:
            pieces[-1] += c
    return pieces


def _print(lines: list[str]) -> None:
    write_all(1, "".join(lines).encode("utf-8", "surrogateescape"))
