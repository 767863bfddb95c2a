"""The words the project does not use, and functions that find them in code, pages and documentation.

`python -m tests.meta.wording [PATH ...]` lists every hit; no path means the whole project.
"""

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
SKIPPED = {"node_modules", "vendor", "runs", "dist", "__pycache__", "package-lock.json"}  # and names with a leading dot
READ = {".py", ".md", ".js", ".html", ".toml", ".yaml", ".yml", ".json", ".sh", ".service", ".conf", ".env"}

BANNED = """
told; tells; said; says so; wish; wishes; wished; anew; likewise; for ever; somebody; nobody; whoever; whatever is;
so many; as many as; of its own; of one's own; of their own; at work; left alone; leave alone; leaves alone;
under way; put back; put first; goes on; go on; going on; went on; stands for; stands in; lies in; lies at;
mend; mends; mended; mending; who holds; who asks; who passes; for who; to who; live to; the like; now and then;
meanwhile; beside; as it is; no whole; comes of it; what comes; what is said; what was found; what there is;
are due; is owed; is wanted; take away; taken away; turned away; without a word; in one go; ahead of time
""".replace("\n", " ")
PHRASES = [phrase.strip() for phrase in BANNED.split(";") if phrase.strip()]
IDIOM = re.compile(
    r"\b(?:" + "|".join(re.escape(phrase).replace(r"\ ", r"\s+") for phrase in PHRASES) + r")\b"
    r"|(?<!ask and )(?<!ask-and-)(?<!ask/)\btell\b(?! TPE)|(?<!there )\bis no (?!longer\b|more\b|less\b)",
    re.IGNORECASE,
)
BRITISH = re.compile(
    r"(?:optim|normal|initial|minim|maxim|summar|organ|recogn|serial|synchron|vector|visual|general|special|random"
    r"|quant|regular|standard|custom|final|local|penal|util|canonical|categor|priorit|real|token|sanit|parallel|stabil)"
    r"is(?:e|ed|es|er|ers|ing|ation|ations)\b|\banalys(?:e|ed|ing)\b|artefact|\blicence|catalogue|colour|behaviour|neighbour"
    r"|\bcentre|favour|labelled(?!by)|labelling|modelled|modelling|\bgrey\b|judgement|\bwhilst\b|\bprogramme\b",
    re.IGNORECASE,
)
NOT_A_VERB = {"What", "Who", "Whose", "Whether", "How", "Where", "Why", "The", "A", "An", "So", "As", "If"}
CODE_IN_PROSE = re.compile(r"`[^`\n]*`|^```.*?^```", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Hit:
    """A place where a banned word or an invalid first line occurs."""

    path: Path
    line: int
    phrase: str
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.phrase!r} in: {self.text}"


def files(paths: list[Path]) -> Iterator[Path]:
    """Yield every file under `paths` that contains text for people to read."""
    for path in paths:
        for file in [path] if path.is_file() else sorted(path.rglob("*")):
            parts = file.relative_to(REPOSITORY).parts
            is_hidden = any(part.startswith(".") for part in parts)
            if file.suffix in READ and not is_hidden and SKIPPED.isdisjoint(parts) and file != Path(__file__):
                yield file


def words_of_python(source: str) -> Iterator[tuple[int, str]]:
    """Yield the line number and text of each comment and string, including docstrings and f-strings."""
    text_tokens = {tokenize.STRING, tokenize.COMMENT}
    if hasattr(tokenize, "FSTRING_MIDDLE"):
        text_tokens.add(tokenize.FSTRING_MIDDLE)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in text_tokens:
            yield token.start[0], token.string


def hits_in_text(text: str, line: int = 1) -> Iterator[tuple[int, str, str]]:
    """Yield the line number, phrase and line of every banned phrase and British spelling in `text`."""
    for pattern in (IDIOM, BRITISH):
        for match in pattern.finditer(text):
            start = text.rfind("\n", 0, match.start()) + 1
            stop = text.find("\n", match.end())
            yield (
                line + text.count("\n", 0, match.start()),
                " ".join(match.group().split()),
                text[start : stop if stop >= 0 else len(text)].strip(),
            )


def is_property(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Return whether `function` is a property, so that its docstring names a thing."""
    return any(
        ast.unparse(decorator).split(".")[-1] in {"property", "cached_property"}
        for decorator in function.decorator_list
    )


def first_lines(source: str) -> Iterator[tuple[int, str]]:
    """Yield line number and first line of each function docstring that must begin with a verb, except in tests."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not is_property(node):
            docstring = ast.get_docstring(node)
            if docstring and not node.name.startswith("test_"):
                yield node.body[0].lineno, docstring.splitlines()[0]


def hits(path: Path) -> list[Hit]:
    """Return the hits in one file, in line order."""
    text = path.read_text()
    name = path.relative_to(REPOSITORY)
    if path.suffix == ".py":
        pieces = [hit for line, words in words_of_python(text) for hit in hits_in_text(words, line)]
        pieces += [
            (line, first.split()[0], first) for line, first in first_lines(text) if first.split()[0] in NOT_A_VERB
        ]
    elif path.suffix == ".md":
        blank = CODE_IN_PROSE.sub(lambda match: re.sub(r"[^\n]", " ", match.group()), text)
        pieces = list(hits_in_text(blank))
    else:
        pieces = list(hits_in_text(text))
    return [Hit(name, line, phrase, words) for line, phrase, words in sorted(pieces)]


if __name__ == "__main__":
    found = [hit for file in files([Path(p).resolve() for p in sys.argv[1:]] or [REPOSITORY]) for hit in hits(file)]
    sys.stdout.write("\n".join(map(str, found)) + f"\n{len(found)} hits\n")
