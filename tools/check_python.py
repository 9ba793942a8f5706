# SPDX-License-Identifier: MIT
"""Python files compile, import nothing that they do not use, and are narrow."""

import ast

LINE_LIMIT = 80


def python_files(tree):
    for path in tree.paths:
        if path.endswith(".py") or is_python_script(tree, path):
            yield path


def is_python_script(tree, path):
    with open(tree.root / path, "rb") as file:
        head = file.readline(80)
    return head.startswith(b"#!") and b"python" in head


def check_python(tree):
    for path in python_files(tree):
        source = tree.text(path)
        for number, line in tree.lines(path):
            if len(line) > LINE_LIMIT:
                yield f"{path}:{number}: longer than {LINE_LIMIT} columns"
        try:
            module = ast.parse(source, filename=path)
            compile(module, path, "exec", dont_inherit=True)
        except SyntaxError as error:
            yield f"{path}:{error.lineno}: {error.msg}"
            continue
        for name, number in unused_imports(module):
            yield f"{path}:{number}: {name} is imported, but never used"


def unused_imports(module):
    """(name, line) of imports that nothing in the file mentions again."""
    imported = {}
    used = set()
    for node in ast.walk(module):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            for alias in node.names:
                name = (alias.asname or alias.name).split(".")[0]
                imported[name] = node.lineno
        elif isinstance(node, ast.Name):
            used.add(node.id)
    used |= exported_names(module)
    return sorted((name, line) for name, line in imported.items()
                  if name not in used and name != "annotations")


def exported_names(module):
    """What __all__ lists: imported for others to use."""
    for node in module.body:
        if (isinstance(node, ast.Assign)
                and any(isinstance(target, ast.Name) and target.id == "__all__"
                        for target in node.targets)):
            return set(ast.literal_eval(node.value))
    return set()


CHECKS = {"python": check_python}
