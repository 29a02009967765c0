"""``-l``: the attach points that a search or a script means."""

from __future__ import annotations

import os

from pytrace.base.text import is_wildcard, matches
from pytrace.cache import trusted_directory
from pytrace.cli.machine import open_kernel
from pytrace.cli.verbose import teller
from pytrace.output.stream import write_all, write_error
from pytrace.probes.provider import find, load_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Final

    from pytrace.cli.options import Options
    from pytrace.kernel.info import KernelInfo
    from pytrace.probes.provider import Provider

KERNEL_PROVIDERS: Final = (
    "fentry",
    "hardware",
    "iter",
    "kprobe",
    "rawtracepoint",
    "software",
    "tracepoint",
)
"""Where names are looked for when no provider is named."""

USER_PROVIDERS: Final = ("uprobe", "uretprobe", "usdt")
"""Those whose second field is a file."""


def list_items(options: Options, environ: Mapping[str, str]) -> int:
    """Print what ``-l`` asks for; gives the exit code."""
    directory = trusted_directory(environ, teller(options.verbose))
    kernel = open_kernel(options, environ, directory)
    if options.program is not None or (options.file is not None and os.path.isfile(options.file)):
        from pytrace.cli.build import expanded_names

        names = expanded_names(options, environ, kernel)
        if names is None:
            return 1
        _print(names, kernel, options.verbose)
        return 0
    search = options.file or "*"
    if search.endswith(".bt") and options.warnings:
        write_error(
            f"WARNING: It appears that '{search}' is a filename but the file does not exist. "
            f"Treating '{search}' as a search pattern.\n"
        )
    for pattern in search.split(","):
        _print(sorted(search_items(pattern.strip(), kernel)), kernel, options.verbose)
    return 0


def search_items(pattern: str, kernel: KernelInfo) -> Iterator[str]:
    """The items of one pattern, sorted by provider, in the providers' own order."""
    providers = load_all()
    name, colon, rest = pattern.partition(":")
    if not colon:
        name, rest = "*", pattern
    if is_wildcard(name):
        for known in KERNEL_PROVIDERS:
            provider = providers.get(known)
            if provider is not None and matches(name, known):
                yield from _matching(provider, rest, kernel)
        return
    provider = find(providers, name)
    if provider is None or provider.module == "special":
        return
    if provider.name in USER_PROVIDERS:
        # Items name the file as it was found, which need not be as it was asked for.
        function = rest.partition(":")[2] or "*"
        for item in provider.list(rest, kernel):
            if matches(function, item.rpartition(":")[2]):
                yield item
        return
    for item in provider.list(rest, kernel):
        if _fits(f"{provider.name}:{rest}", item):
            yield item


def _matching(provider: Provider, rest: str, kernel: KernelInfo) -> Iterator[str]:
    """Items of a provider that was not named: one field alone is the last one, an event's name."""
    for item in provider.list(rest, kernel):
        if _fits(f"{provider.name}:{rest}", item) or (
            ":" not in rest and matches(rest, item.rstrip(":").rpartition(":")[2])
        ):
            yield item


def _fits(pattern: str, item: str) -> bool:
    return matches(pattern, item) or matches(pattern, item.rstrip(":"))


def _print(items: list[str], kernel: KernelInfo, verbose: bool) -> None:
    lines = []
    for item in items:
        lines.append(f"{item}\n")
        if verbose:
            lines += [f"    {argument}\n" for argument in arguments(item, kernel)]
    write_all(1, "".join(lines).encode("utf-8", "surrogateescape"))


def arguments(item: str, kernel: KernelInfo) -> tuple[str, ...]:
    """What ``-lv`` shows below an item: the fields of a tracepoint as its format declares them."""
    provider, _, rest = item.partition(":")
    if provider != "tracepoint":
        return ()
    category, _, event = rest.partition(":")
    found = kernel.tracepoint(category, event)
    return found.declarations if found else ()
