"""The pages that are made from the code: ``python3 Testing/run.py reference`` writes them, a test compares them.

- ``Docs/api``: public functions, classes and constants of the engine from their docstrings and signatures, a page a
  room, and every command with its options;
- the tables of presets in ``Docs/method.md``, between comments that name them.

Nothing of the engine that needs torch is imported: modules are read as text.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "Testing")]

from reference_tables import commands_page, plain, with_preset_tables  # noqa: E402 - only now can it be found

LIBRARY = ROOT / "SwinSSLLib"
API = ROOT / "Docs" / "api"
METHOD = ROOT / "Docs" / "method.md"

#: Modules beside the rooms, by page; those that stand nowhere are machinery.
PAGES: dict[str, tuple[str, ...]] = {
    "settings": ("settings", "settings_text", "presets", "validation", "organs"),
    "runs": ("runs", "launches", "reporting", "control", "checkpoints", "thinning", "discretion"),
    "models": ("models", "places"),
    "jobs": (
        "jobs",
        "preparing",
        "fitting",
        "optimizing",
        "training_memory",
        "running",
        "serving",
        "imports",
        "devices",
        "checkup",
    ),
    "errors": ("errors",),
}
ROOMS = ("data", "nets", "pretrain", "finetune", "segment", "evaluate", "exchange")
#: What the command line consists of; its page is made from the parser.
COMMANDS = ("cli", "commands", "__main__")
_SECTIONS = re.compile(r"^(Args|Returns|Yields|Raises|Attributes):$")
_WIDTH = 100


def main() -> int:
    """Write all pages."""
    pages = {**api_pages(), METHOD: with_preset_tables(METHOD.read_text(encoding="utf-8"))}
    for old in set(API.glob("*.md")) - set(pages):
        old.unlink()
    API.mkdir(parents=True, exist_ok=True)
    for path, text in pages.items():
        path.write_text(text, encoding="utf-8")
    print(f"{len(pages)} pages written: {API}, {METHOD}")
    return 0


# --- the engine


def api_pages() -> dict[Path, str]:
    """Every page of ``Docs/api`` by its file."""
    modules = pages_of_modules()
    pages = {API / f"{page}.md": page_of(page, files) for page, files in modules.items()}
    pages[API / "commands.md"] = commands_page()
    lines = [
        "# Reference",
        "",
        "Made from the code by `python3 Testing/run.py reference`; do not edit.",
        "",
        "| page | what it holds |",
        "|---|---|",
        "| [commands](commands.md) | every command of `swinssl` with its options |",
    ]
    for page, files in modules.items():
        summaries = [f"`{name_of(file)}`" for file in files if file.name != "__init__.py"]
        lines.append(f"| [{page}]({page}.md) | {', '.join(summaries)} |")
    pages[API / "README.md"] = "\n".join([*lines, ""])
    return pages


def pages_of_modules() -> dict[str, list[Path]]:
    """Which modules stand on which page, every module of the engine but the commands once."""
    named = {page: [LIBRARY / f"{name}.py" for name in names] for page, names in PAGES.items()}
    named |= {room: sorted((LIBRARY / room).glob("*.py")) for room in ROOMS}
    known = {file for files in named.values() for file in files}
    rest = [
        file
        for file in sorted(LIBRARY.rglob("*.py"))
        if file not in known and file.relative_to(LIBRARY).parts[0].removesuffix(".py") not in (*COMMANDS, "__init__")
    ]
    return {**named, "machinery": rest}


def name_of(file: Path) -> str:
    """Name of a module without the package's: ``data.store``."""
    return ".".join(file.relative_to(LIBRARY).with_suffix("").parts).removesuffix(".__init__")


def page_of(page: str, files: list[Path]) -> str:
    """One page: modules in order, in each of them constants, classes and functions as they stand there."""
    parts = [f"# {page}", "<!-- made by Testing/reference.py -->"]
    for file in files:
        tree = ast.parse(file.read_text(encoding="utf-8"))
        described = markdown(ast.get_docstring(tree) or "")
        things = list(things_of(tree, file.read_text(encoding="utf-8").splitlines()))
        if file.name == "__init__.py":
            parts += [described] if described else []
        elif things or described:
            parts += [f"## `SwinSSLLib.{name_of(file)}`", described, *things]
    return "\n\n".join(part for part in parts if part) + "\n"


def things_of(tree: ast.Module, lines: list[str]) -> Iterator[str]:
    """Markdown of every public thing in a module."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            yield f"### `{node.name}`\n\n{code(signature(node))}\n\n{markdown(ast.get_docstring(node) or '')}"
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield class_of(node)
        elif (name := constant_name(node)) and (words := comment_above(lines, node.lineno)):
            yield f"### `{name}`\n\n{code(ast.unparse(node)) if len(ast.unparse(node)) < 4 * _WIDTH else ''}\n\n{words}"


def class_of(node: ast.ClassDef) -> str:
    """A class: its fields or constructor, its docstring, and its public methods."""
    bases = f"({', '.join(ast.unparse(base) for base in node.bases)})" if node.bases else ""
    fields = [
        f"    {ast.unparse(one)}"
        for one in node.body
        if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name) and not one.target.id.startswith("_")
    ]
    decorated = [f"@{ast.unparse(one)}" for one in node.decorator_list]
    head = "\n".join([*decorated, f"class {node.name}{bases}:" if fields else f"class {node.name}{bases}", *fields])
    methods = [one for one in node.body if isinstance(one, ast.FunctionDef)]
    parts = [f"### `{node.name}`", code(head)]
    parts += [code(signature(one, node.name)) for one in methods if one.name == "__init__"]
    parts.append(markdown(ast.get_docstring(node) or ""))
    for one in methods:
        if not one.name.startswith("_"):
            title = f"#### `{node.name}.{one.name}`"
            shown = "" if _is_property(one) else code(signature(one))
            what = f"*property* → `{ast.unparse(one.returns)}`" if _is_property(one) and one.returns else shown
            parts.append("\n\n".join(filter(None, (title, what, markdown(ast.get_docstring(one) or "")))))
    return "\n\n".join(filter(None, parts))


def _is_property(node: ast.FunctionDef) -> bool:
    return any(ast.unparse(one) in ("property", "cached_property") for one in node.decorator_list)


def signature(node: ast.FunctionDef, owner: str = "") -> str:
    """A function's head as it would be written, one argument a line where it is long; ``self`` is left out."""
    own = ast.parse(f"def f({ast.unparse(node.args)}): ...").body[0]
    assert isinstance(own, ast.FunctionDef)
    if own.args.args and own.args.args[0].arg in ("self", "cls"):
        own.args.args.pop(0)
    returns = f" -> {ast.unparse(node.returns)}" if node.returns and not owner else ""
    words = arguments_of(own.args)
    line = f"{owner or node.name}({', '.join(words)}){returns}"
    if len(line) <= _WIDTH:
        return line
    return "\n".join([f"{owner or node.name}(", *(f"    {word}," for word in words), f"){returns}"])


def arguments_of(arguments: ast.arguments) -> list[str]:
    """Each argument as it is written, with the star that ends those by position."""
    words, every = [], [*arguments.posonlyargs, *arguments.args]
    defaults: list[ast.expr | None] = [None] * (len(every) - len(arguments.defaults)) + list(arguments.defaults)
    words += [_argument(one, default) for one, default in zip(every, defaults, strict=True)]
    if arguments.posonlyargs:
        words.insert(len(arguments.posonlyargs), "/")
    if arguments.vararg:
        words.append(f"*{ast.unparse(arguments.vararg)}")
    elif arguments.kwonlyargs:
        words.append("*")
    words += [_argument(*pair) for pair in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)]
    return words + ([f"**{ast.unparse(arguments.kwarg)}"] if arguments.kwarg else [])


def _argument(one: ast.arg, default: ast.expr | None) -> str:
    word = ast.unparse(one)
    return word if default is None else f"{word} = {ast.unparse(default)}"


def constant_name(node: ast.stmt) -> str:
    """The name of a public constant that a statement sets, or nothing."""
    target = (
        node.targets[0] if isinstance(node, ast.Assign) else node.target if isinstance(node, ast.AnnAssign) else None
    )
    name = target.id if isinstance(target, ast.Name) else ""
    return name if name.isupper() and not name.startswith("_") else ""


def comment_above(lines: list[str], number: int) -> str:
    """The ``#:`` comment over line ``number``, counted from 1."""
    words: list[str] = []
    for line in reversed(lines[: number - 1]):
        if not line.startswith("#:"):
            break
        words.insert(0, line.removeprefix("#:").strip())
    return markdown(" ".join(words))


def code(text: str) -> str:
    """A block of Python."""
    return f"```python\n{text}\n```"


def markdown(docstring: str) -> str:
    """A docstring in Google's style, with roles of Sphinx, as Markdown."""
    lines: list[str] = []
    section = table = ""
    for line in docstring.splitlines():
        if re.match(r"^=+( +=+)+$", line):
            lines.append("```" if table else "\n```text")
            table = "" if table == "last" else "last" if table else "open"
            if table == "last":  # the line under the heads
                lines[-1] = line
        elif table:
            lines.append(line)
        elif found := _SECTIONS.match(line):
            section = found[1]
            lines += ["", f"**{section}**", ""]
        elif section and re.match(r"^    \S", line):
            lines.append(f"- {plain(_entry(line.strip(), section))}")
        elif section and line.startswith("     "):
            lines[-1] += f" {plain(line.strip())}"
        else:
            section = "" if line else section
            lines.append(line if line.startswith("    ") else plain(re.sub("::$", ":", line)))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def _entry(line: str, section: str) -> str:
    """``name: words`` with the name as code."""
    name, colon, words = line.partition(": ")
    names = re.fullmatch(r"[\w.*]+(, [\w.*]+)*", name)
    return f"`{name}`: {words}" if colon and names and section != "Returns" else line


if __name__ == "__main__":
    sys.exit(main())
