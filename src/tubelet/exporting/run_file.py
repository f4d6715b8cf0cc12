"""`run.py` of an exported model: `exporting/runner.py` with all that it imports from tubelet written into it."""

from __future__ import annotations

import ast
from importlib.util import find_spec
from pathlib import Path

OF_FORMAT = {
    "onnx": ("OnnxSession",),
    "openvino": ("OpenVINOSession", "_metadata_of", "without_telemetry"),
    "pt2": ("Pt2Session", "_is_no_note_on_processors"),
    "executorch": ("ExecuTorchSession",),
}
"""The names that each format needs of `tubelet.exported.sessions`."""


def run_source(format: str) -> str:
    """The text of `run.py`, which imports nothing of tubelet.

    Args:
        format: of the exported model.
    """
    runner, text = _parsed("tubelet.exporting.runner")
    imports: list[ast.stmt] = []
    parts: list[str] = []
    body: list[str] = []
    for node in runner.body[1:]:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tubelet."):
            assert node.module is not None
            names = [alias.name for alias in node.names]
            if "SESSIONS" in names:
                of_format = OF_FORMAT[format]
                parts += _needed(node.module, ["MODEL_FILES", *of_format], imports)
                parts.append(f'SESSIONS = {{"{format}": {of_format[0]}}}')
            else:
                parts += _needed(node.module, names, imports)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            imports.append(node)
        else:
            body.append(_source(text, node))
    code = "\n\n\n".join([*dict.fromkeys(parts), *body]) + "\n"
    head = f'"""{ast.get_docstring(runner)}\n"""\n\nfrom __future__ import annotations'
    return "\n\n".join([head, "\n".join(_import_lines(imports, code))]) + f"\n\n\n{code}"


def _needed(module: str, names: list[str], imports: list[ast.stmt]) -> list[str]:
    """The source of these names of a module, and of the names of that module that they use, in its order."""
    tree, text = _parsed(module)
    defined = {name: node for node in tree.body for name in _names_of(node)}
    wanted: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in wanted and name in defined:
            wanted.add(name)
            waiting += [each.id for each in ast.walk(defined[name]) if isinstance(each, ast.Name)]
    imports += [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    return [_source(text, node) for node in tree.body if wanted & set(_names_of(node))]


def _names_of(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Assign):
        return [target.id for target in node.targets if isinstance(target, ast.Name)]
    return [node.target.id] if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) else []


def _source(text: str, node: ast.stmt) -> str:
    first = min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", []))])
    return "\n".join(text.splitlines()[first - 1 : node.end_lineno])


def _import_lines(imports: list[ast.stmt], code: str) -> list[str]:
    """The imports of names that the code uses, each once."""
    used = {each.id for each in ast.walk(ast.parse(code)) if isinstance(each, ast.Name)}
    plain: set[str] = set()
    members: dict[str, set[str]] = {}
    for node in imports:
        if isinstance(node, ast.Import):
            plain |= {alias.name for alias in node.names if alias.name.partition(".")[0] in used}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.module.startswith("tubelet"):
            names = {alias.name for alias in node.names} & used
            members.setdefault(node.module, set()).update(names)
    lines = [f"import {name}" for name in sorted(plain)]
    return lines + [
        f"from {name} import {', '.join(sorted(members[name]))}" for name in sorted(members) if members[name]
    ]


def _parsed(module: str) -> tuple[ast.Module, str]:
    spec = find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    text = Path(spec.origin).read_text(encoding="utf-8")
    return ast.parse(text), text
