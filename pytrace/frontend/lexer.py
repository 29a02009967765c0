"""Script text to tokens. Everything that depends on context is decided here.

The grammar's terminals have no patterns. This lexer reads one item of the script at a time (a
probe, a macro, ...) and keeps a stack of what is open, so it knows where a statement begins, where
a value is wanted and what closes what; for casts, records, types and the end of a predicate it
looks ahead as far as it must. Text is handled as latin-1, so that offsets are those of the bytes.

A token is a kind (the terminal's name) with start and end offset, in three parallel lists. Two
kinds are no terminals: UNKNOWN, text that fits nowhere, and FAULT, whose message is in ``faults``.
"""

from __future__ import annotations

from pytrace.frontend import scan
from pytrace.frontend.scan import DIGITS, MAX_DEPTH, WORD_START
from pytrace.frontend.words import (
    ITEM_WORDS,
    OPERATORS,
    STATEMENT_WORDS,
    TYPE_WORDS,
    VALUE_WORDS,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Final

TOO_DEEP: Final = f"nesting too deep (over {MAX_DEPTH})"

# What may come next: an operator or a closer, a value, or a statement.
OPERATOR, OPERAND, STATEMENT = range(3)

# What is open. A CODE frame is a block; HEAD, HEADER, ELSE and PROBE wait for their block.
CODE, ROUND, SQUARE, HEAD, HEADER, ELSE, PROBE, PREDICATE, CONFIG, DECLARATION = range(10)
WAITING: Final = frozenset({HEADER, ELSE, PROBE})

# What a block belongs to, so what follows it.
ITEM, PLAIN, VALUE, IF_PLAIN, IF_VALUE = range(5)

HEAD_BLOCKS: Final[Mapping[str, int]] = {
    "IF_STMT": IF_PLAIN,
    "IF_EXPR": IF_VALUE,
    "FOR": PLAIN,
    "WHILE": PLAIN,
    "UNROLL": PLAIN,
}
TYPED_CALLS: Final = frozenset({"SIZEOF", "TYPEOF", "TYPEINFO", "OFFSETOF"})
HEAD_WORDS: Final = frozenset({"IF_STMT", "IF_EXPR", "ELSE_IF", "WHILE", "UNROLL"})


class Frame:
    """Something open: ``what`` of the constants above, from where, and what its block is for.

    ``kind`` says more about a frame, ``angle`` tells ``< >`` from ``{ }``, and ``depth`` counts the
    brackets and blocks up to this one.
    """

    __slots__ = ("angle", "block", "depth", "kind", "start", "what")

    def __init__(self, what: int, start: int, block: int, kind: str = "") -> None:
        self.what = what
        self.start = start
        self.block = block
        self.kind = kind
        self.angle = False
        self.depth = 0


class Lexer:
    """Tokens of one script, an item at a time.

    ``more`` appends the next item's tokens, finally ``$END``. ``items`` has the index of the first
    token of each item, ``comments`` the offsets of all comments, ``closed_angle`` for each ``>``
    that closed a block (by token index) where that block began.
    """

    def __init__(self, text: bytes) -> None:
        self.text = text.decode("latin-1") + "\0"
        self.length = len(text)
        self.pos = 0
        self.kinds: list[str] = []
        self.starts: list[int] = []
        self.ends: list[int] = []
        self.items: list[int] = []
        self.comments: list[tuple[int, int]] = []
        self.faults: dict[int, str] = {}
        self.closed_angle: dict[int, int] = {}
        self.frames: list[Frame] = []
        self.want = OPERAND
        self.let_type = False

    # ------------------------------------------------------------ items

    def more(self) -> None:
        """Append the tokens of the next item, or ``$END``."""
        self._layout()
        self.items.append(len(self.kinds))
        start = self.pos
        char = self.text[start]
        if start >= self.length:
            self._add("$END", self.length)
        elif char == "#":
            self._hash_line(start)
        elif char in WORD_START:
            self._word_item(start)
        elif char in ")]}>;":
            self._fault(f"unexpected '{char}'", start + 1)
        elif char in ",/<{":
            self._fault("expected attach point", start + 1)
        else:
            self._probe()

    def skip_item(self, token: int) -> None:
        """Go on behind the item that has a fault at ``token``, which is in the last item read."""
        self.frames.clear()
        self.let_type = False
        item = self.starts[self.items[-1]]
        self.pos = scan.resume_point(self.text, item, self.starts[token])

    def _hash_line(self, start: int) -> None:
        if self.text[start + 1] != "!":
            self._add("CPP_LINE", scan.line_end(self.text, start, continued=True))
        elif start == 0:
            self._add("SHEBANG", scan.line_end(self.text, start))
        else:
            self._fault("'#!' is allowed on the first line only", start + 2)

    def _word_item(self, start: int) -> None:
        end = scan.word_end(self.text, start)
        word = self.text[start:end]
        kind = ITEM_WORDS.get(word)
        if kind is None:
            if word in scan.TAGS and scan.begins_definition(self.text, end):
                self._definition(start)
            else:
                self._probe()
            return
        self._add(kind, end)
        if kind == "CONFIG":
            self.frames.append(Frame(CONFIG, start, ITEM))
        elif kind in ("MACRO", "FN"):
            self.frames.append(Frame(HEADER, start, ITEM))
        else:
            self.frames.append(Frame(DECLARATION, start, ITEM, kind))
        self.want = OPERAND
        self._code()

    def _definition(self, start: int) -> None:
        end = scan.definition_end(self.text, start)
        if end < 0:
            self._fault("expected '}' to close the C definition", scan.line_end(self.text, start))
        else:
            self._add("C_DEF", end)

    def _probe(self) -> None:
        """Attach points up to the predicate or the block, then those."""
        while True:
            end = scan.attach_point_end(self.text, self.pos)
            if end < 0:
                self._fault("unterminated string", scan.line_end(self.text, self.pos))
                return
            if end == self.pos:
                self._fault("expected attach point", scan.token_end(self.text, end))
                return
            self._add("ATTACH", end)
            self._layout()
            if self.text[self.pos] != ",":
                break
            self._add("COMMA", self.pos + 1)
            self._layout()
            if self.text[self.pos] in "/{<" or self.pos >= self.length:
                break
        self.frames.append(Frame(PROBE, self.pos, ITEM))
        if self.text[self.pos] == "/":
            self._add("PRED_OPEN", self.pos + 1)
            self.frames.append(Frame(PREDICATE, self.pos, VALUE))
            self.want = OPERAND
        self._code()

    # ------------------------------------------------------------ the loop

    def _code(self) -> None:
        """Tokens until nothing is open, the text ends or a token cannot be right."""
        frames = self.frames
        text = self.text
        while frames:
            self._layout()
            start = self.pos
            char = text[start]
            if char in WORD_START:
                self._word(start)
            elif char in DIGITS:
                self._add("INT", scan.number_end(text, start))
                self.want = OPERATOR
            else:
                handler = HANDLERS.get(char)
                if handler is not None:
                    handler(self, start)
                elif start >= self.length:
                    return
                else:
                    self._unknown()

    def _layout(self) -> None:
        """Skip blanks and comments, keeping the comments."""
        text = self.text
        pos = self.pos
        while True:
            while text[pos] in " \t\n\r":
                pos += 1
            if text[pos] != "/" or text[pos + 1] not in "/*":
                break
            end = scan.comment_end(text, pos)
            self.comments.append((pos, end))
            pos = end
        self.pos = pos

    def _add(self, kind: str, end: int) -> None:
        self.kinds.append(kind)
        self.starts.append(self.pos)
        self.ends.append(end)
        self.pos = end

    def _fault(self, message: str, end: int) -> None:
        """A token that is an error by itself; the rest of the item is not read."""
        self.faults[len(self.kinds)] = message
        self._add("FAULT", end)
        self.frames.clear()

    def _unknown(self) -> None:
        """Text that fits nowhere: the parser says what it would have liked instead."""
        self._add("UNKNOWN", scan.token_end(self.text, self.pos))
        self.frames.clear()

    def _open(self, kind: str, what: int, block: int = PLAIN, inner: str = "") -> None:
        """A bracket's or a block's opening token, and the frame that it opens."""
        frames = self.frames
        depth = frames[-1].depth + 1 if frames else 1
        if depth > MAX_DEPTH:
            self._fault(TOO_DEEP, self.pos + 1)
            return
        frame = Frame(what, self.pos, block, inner)
        frame.depth = depth
        frames.append(frame)
        self._add(kind, self.pos + 1)

    def _await(self, what: int, block: int, kind: str) -> None:
        """The word just added waits for a block."""
        frame = Frame(what, self.starts[-1], block, kind)
        frame.depth = self.frames[-1].depth
        self.frames.append(frame)

    # ------------------------------------------------------------ words, numbers, names

    def _word(self, start: int) -> None:
        end = scan.word_end(self.text, start)
        frame = self.frames[-1]
        kind = self._word_kind(self.text[start:end], end, frame)
        self._add(kind, end)
        if kind in HEAD_BLOCKS:
            self._await(HEAD, HEAD_BLOCKS[kind], kind)
            self.want = OPERAND
        elif kind == "ELSE_IF":
            self.frames.pop()
            self._await(HEAD, frame.block, kind)
            self.want = OPERAND
        elif kind in ("NAME", "BOOL", "BREAK", "CONTINUE"):
            self.want = OPERATOR
        else:
            self.want = OPERAND

    def _word_kind(self, word: str, end: int, frame: Frame) -> str:
        last = self.kinds[-1]
        if last in ("DOT", "ARROW", "TAG"):
            return "NAME"
        if frame.what == ELSE:
            return "ELSE_IF" if word == "if" else "NAME"
        if self.want == STATEMENT:
            if word == "_" and scan.assigns(self.text, end):
                return "DISCARD"
            kind = STATEMENT_WORDS.get(word) or VALUE_WORDS.get(word, "NAME")
        elif last == "COLON" and self.let_type:
            return TYPE_WORDS.get(word, "NAME")
        elif frame.kind in ("TYPE", "CAST"):
            return TYPE_WORDS.get(word, "NAME") if last != "COMMA" else "NAME"
        elif frame.kind == "NAMES" or frame.what in (HEADER, DECLARATION):
            return TYPE_WORDS.get(word, "NAME") if last == "COLON" else "NAME"
        elif frame.what == CONFIG:
            return "BOOL" if last == "ASSIGN" and word in ("true", "false") else "NAME"
        elif last in ("RECORD_OPEN", "COMMA") and frame.kind in ("RECORD", "PATH"):
            return "NAME"
        else:
            kind = VALUE_WORDS.get(word, "NAME")
        if kind == "TYPEOF" and not scan.followed_by(self.text, end, "("):
            return "NAME"
        return kind

    def _map(self, start: int) -> None:
        self._add("MAP", scan.word_end(self.text, start + 1))
        self.want = OPERATOR

    def _dollar(self, start: int) -> None:
        after = self.text[start + 1]
        if after == "#":
            self._add("PARAM_COUNT", start + 2)
        elif after in DIGITS:
            end = start + 2
            while self.text[end] in DIGITS:
                end += 1
            self._add("PARAM", end)
        elif after in WORD_START:
            self._add("VAR", scan.word_end(self.text, start + 1))
        else:
            self._fault("expected identifier after '$'", start + 1)
        self.want = OPERATOR

    def _string(self, start: int) -> None:
        end = scan.string_end(self.text, start)
        if end < 0:
            self._fault("unterminated string", scan.line_end(self.text, start))
            return
        self._add("STRING", end)
        self.want = OPERATOR

    # ------------------------------------------------------------ brackets and blocks

    def _round_open(self, start: int) -> None:
        text = self.text
        last = self.kinds[-1]
        frame = self.frames[-1]
        kind, inner = "LPAREN", ""
        if last in TYPED_CALLS:
            if scan.holds_type(text, start + 1, ",)" if last == "OFFSETOF" else ")"):
                kind, inner = "TYPE_OPEN", "TYPE"
            elif last == "OFFSETOF":
                inner = "PATH"
        elif frame.what in (HEADER, DECLARATION):
            inner = "NAMES"
        elif last in HEAD_WORDS:
            kind = "HEAD_OPEN"
        elif self.want != OPERATOR:
            if scan.is_cast(text, start + 1):
                kind, inner = "CAST_OPEN", "CAST"
            elif scan.is_record(text, start + 1):
                kind, inner = "RECORD_OPEN", "RECORD"
        self._open(kind, ROUND, inner=inner)
        self.want = OPERAND

    def _round_close(self, start: int) -> None:
        self._add("RPAREN", start + 1)
        self.want = OPERATOR
        frame = self.frames[-1]
        if frame.what != ROUND:
            self.frames.clear()
            return
        self.frames.pop()
        if frame.kind == "CAST":
            self.want = OPERAND
        elif self.frames[-1].what == DECLARATION:
            self._layout()
            if self.text[self.pos] == ";":
                self._add("SEMI", self.pos + 1)
            self.frames.clear()

    def _square_open(self, start: int) -> None:
        self._open("MAP_OPEN" if self.kinds[-1] == "MAP" else "LBRACK", SQUARE)
        self.want = OPERAND

    def _square_close(self, start: int) -> None:
        self._add("RBRACK", start + 1)
        self.want = OPERATOR
        if self.frames[-1].what == SQUARE:
            self.frames.pop()
        else:
            self.frames.clear()

    def _curly_open(self, start: int) -> None:
        frame = self.frames[-1]
        if self._waits_for_block(frame):
            self._block(angle=False)
        elif frame.what == CONFIG and self.kinds[-1] == "ASSIGN":
            self._add("CONFIG_OPEN", start + 1)
        else:
            kind = ("BLOCK_OPEN", "EXPR_OPEN", "STMT_OPEN")[self.want]
            self._open(kind, CODE, PLAIN if self.want == STATEMENT else VALUE)
            self.want = STATEMENT

    def _waits_for_block(self, frame: Frame) -> bool:
        return frame.what in WAITING or (frame.what == HEAD and self.want == OPERATOR)

    def _block(self, angle: bool) -> None:
        """The opener of the block that the innermost frame waits for."""
        frame = self.frames[-1]
        block = frame.block
        if frame.what == ELSE:  # The chain ends here: no further else may follow.
            block = PLAIN if block == IF_PLAIN else VALUE
        self.frames.pop()
        self._open("BLOCK_OPEN", CODE, block)
        if self.frames:
            self.frames[-1].angle = angle
        self.want = STATEMENT

    def _curly_close(self, start: int) -> None:
        frame = self.frames[-1]
        if frame.angle:
            line, column = self._position(frame.start)
            self._fault(f"expected '>' to close the block opened at {line}:{column}", start + 1)
            return
        self._add("BLOCK_CLOSE", start + 1)
        if frame.what == CODE:
            self._closed()
        elif frame.what == CONFIG:
            self.frames.pop()
        else:
            self.frames.clear()

    def _closed(self) -> None:
        """The innermost block has been closed: what comes next depends on what it was for."""
        frame = self.frames.pop()
        self.let_type = False
        block = frame.block
        if block in (IF_PLAIN, IF_VALUE):
            after = self.text
            self._layout()
            end = scan.word_end(after, self.pos)
            if after[self.pos : end] == "else":
                self._add("ELSE", end)
                self._await(ELSE, block, "ELSE")
                return
        self.want = OPERATOR if block in (VALUE, IF_VALUE) else STATEMENT

    def _semicolon(self, start: int) -> None:
        self._add("SEMI", start + 1)
        self.let_type = False
        frame = self.frames[-1]
        if frame.what == CODE:
            self.want = STATEMENT
        elif frame.what == DECLARATION:
            self.frames.clear()

    # ------------------------------------------------------------ operators

    def _less(self, start: int) -> None:
        frame = self.frames[-1]
        if frame.what in WAITING or (
            self._waits_for_block(frame) and self.text[start + 1] not in "<="
        ):
            self._block(angle=True)
        else:
            self._operator(start)

    def _greater(self, start: int) -> None:
        frames = self.frames
        depth = len(frames) - 1
        while frames[depth].what in (HEAD, ELSE):
            depth -= 1
        block = frames[depth]
        after = self.text[start + 1]
        if not block.angle or after == "=" or self.text.startswith(">>=", start):
            self._operator(start)
            return
        if after == ">" and (depth == 0 or not frames[depth - 1].angle):
            self._fault(self.angle_message(block.start), start + 2)
            return
        self.closed_angle[len(self.kinds)] = block.start
        self._add("BLOCK_CLOSE", start + 1)
        if depth == len(frames) - 1:
            self._closed()
        else:
            frames.clear()

    def angle_message(self, opened: int) -> str:
        """What to say when ``>`` was meant as a comparison but closed the block."""
        line, column = self._position(opened)
        return f"'>' closed the block opened at {line}:{column}; put the comparison in parentheses"

    def _position(self, offset: int) -> tuple[int, int]:
        text = self.text
        return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)

    def _slash(self, start: int) -> None:
        if not scan.followed_by(self.text, start + 1, "{<"):
            self._operator(start)
            return
        self._add("PRED_CLOSE", start + 1)
        if self.frames[-1].what == PREDICATE:
            self.frames.pop()
        self.want = OPERATOR

    def _operator(self, start: int) -> None:
        """The longest operator here."""
        text = self.text
        end = start + 1
        if text[start : start + 3] in ("<<=", ">>="):
            end = start + 3
        elif text[start : start + 2] in OPERATORS:
            end = start + 2
        if self.let_type and text[start] == "*":
            end = start + 1
        kind = OPERATORS[text[start:end]]
        if kind == "COLON" and self.kinds[-2:] == ["LET", "VAR"]:
            self.let_type = True
        elif kind == "ASSIGN":
            self.let_type = False
        self._add(kind, end)
        self.want = OPERAND

    def _plus_minus(self, start: int) -> None:
        if self.text[start + 1] == self.text[start]:
            # Before a value and behind one; either way what is wanted next stays the same, but a
            # statement has begun.
            self._add("INCDEC", start + 2)
            if self.want == STATEMENT:
                self.want = OPERAND
        else:
            self._operator(start)


HANDLERS: Final[Mapping[str, Callable[[Lexer, int], None]]] = {
    "@": Lexer._map,
    "$": Lexer._dollar,
    '"': Lexer._string,
    "(": Lexer._round_open,
    ")": Lexer._round_close,
    "[": Lexer._square_open,
    "]": Lexer._square_close,
    "{": Lexer._curly_open,
    "}": Lexer._curly_close,
    ";": Lexer._semicolon,
    "<": Lexer._less,
    ">": Lexer._greater,
    "/": Lexer._slash,
    "+": Lexer._plus_minus,
    "-": Lexer._plus_minus,
    **dict.fromkeys("=!|&^*%~?:,.", Lexer._operator),
}
