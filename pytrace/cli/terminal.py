"""Reading inputs of the prompt: from a terminal with editing and colours, or plainly."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final

    GoesOn = Callable[[str], bool]
    """True for a text that the next line continues."""
    Reader = Callable[[], str]
    """Gives one input, raises ``EOFError`` at the end and ``KeyboardInterrupt`` on Ctrl-C."""

PROMPT: Final = "pytrace> "
CONTINUATION: Final = "...> "
HISTORY: Final = ".pytrace_history"


def open_reader(goes_on: GoesOn) -> Reader:
    """The best reader for what standard input is."""
    if os.isatty(0) and os.isatty(1):
        try:
            return _editing_reader(goes_on)
        except ImportError:
            pass  # prompt_toolkit is not installed: the plain one does as well.
    return plain_reader(goes_on)


def plain_reader(goes_on: GoesOn) -> Reader:
    """Lines of standard input, with the prompt on standard output if both are terminals."""
    shown = os.isatty(0) and os.isatty(1)

    def line(prompt: str) -> str:
        if shown:
            return input(prompt)
        text = sys.stdin.readline()
        if not text:
            raise EOFError
        return text.rstrip("\n")

    def read() -> str:
        text = line(PROMPT)
        while goes_on(text):
            try:
                text += "\n" + line(CONTINUATION)
            except EOFError:
                return text
        return text

    return read


def history_path() -> str | None:
    """The file that keeps inputs, made private; None without a home directory."""
    home = os.environ.get("HOME", "")
    if not home.startswith("/") or not os.path.isdir(home):
        return None
    path = f"{home}/{HISTORY}"
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))
    except OSError:
        return None  # A home that cannot be written to keeps no history.
    return path


def _editing_reader(goes_on: GoesOn) -> Reader:
    from prompt_toolkit import PromptSession
    from prompt_toolkit.filters import Condition
    from prompt_toolkit.history import FileHistory, InMemoryHistory

    path = history_path()
    session: Any

    def unfinished() -> bool:
        return goes_on(session.default_buffer.text)

    session = PromptSession(
        PROMPT,
        history=FileHistory(path) if path else InMemoryHistory(),
        multiline=Condition(unfinished),
        prompt_continuation=CONTINUATION,
        lexer=_highlighter(),
        enable_history_search=False,
    )

    def read() -> str:
        text: str = session.prompt()
        return text

    return read


def _highlighter() -> Any:
    """A lexer that colours inputs, None without pygments."""
    try:
        from prompt_toolkit.lexers import PygmentsLexer

        from pytrace.cli.highlight import ScriptLexer
    except ImportError:
        return None
    return PygmentsLexer(ScriptLexer)
