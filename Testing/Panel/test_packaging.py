"""The package: every file is listed for CMake, the catalogue entry keeps its rules, and nothing heavy is imported."""

from __future__ import annotations

import ast
import json
import re
import struct
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULE, ENGINE = ROOT / "SwinSSL", ROOT / "SwinSSLLib"
ENTRY = ROOT / "Testing" / "ExtensionsIndex" / "SwinSSL.json"
UI_FILES = sorted((MODULE / "Resources" / "UI").glob("*.ui"))
PANEL_FILES = sorted(MODULE.rglob("*.py"))


def listed(file: Path, name: str) -> set[str]:
    """The entries of a list in a CMake file."""
    found = re.search(rf"set\({name}\s+(.*?)\)", file.read_text(), re.DOTALL)
    assert found, f"{file} sets no {name}"
    return set(found[1].split())


def present(folder: Path, *suffixes: str) -> set[str]:
    files = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {str(path.relative_to(folder).as_posix()) for path in files if path.suffix in suffixes}


@pytest.mark.parametrize("folder", [MODULE, ENGINE], ids=["module", "engine"])
def test_cmake_lists_every_script_and_nothing_else(folder):
    assert listed(folder / "CMakeLists.txt", "MODULE_PYTHON_SCRIPTS") == present(folder, ".py")


def test_cmake_lists_every_resource_and_nothing_else():
    resources = present(MODULE / "Resources", ".ui", ".png", ".svg", ".json", ".txt")
    assert listed(MODULE / "CMakeLists.txt", "MODULE_PYTHON_RESOURCES") == {f"Resources/{name}" for name in resources}
    assert present(MODULE / "Resources", "") == set(), "files without an ending are packaged by nobody"
    data = present(ENGINE, ".json", ".css")
    assert listed(ENGINE / "CMakeLists.txt", "MODULE_PYTHON_RESOURCES") == data


def test_the_extension_says_what_it_is():
    text = (ROOT / "CMakeLists.txt").read_text()
    assert "project(SwinSSL)" in text
    assert 'set(EXTENSION_DEPENDS "PyTorch")' in text
    for name in ("HOMEPAGE", "CONTRIBUTORS", "DESCRIPTION", "ICONURL", "SCREENSHOTURLS"):
        assert re.search(rf'set\(EXTENSION_{name} "[^"]+"\)', text), name
    assert "add_subdirectory(SwinSSL)" in text
    assert "add_subdirectory(SwinSSLLib)" in text


def test_the_addresses_of_icon_and_screenshots_name_files_of_the_repository():
    """Whoever browses the catalogue sees them from there: raw addresses of the branch that the entry names."""
    text = (ROOT / "CMakeLists.txt").read_text()
    home = re.search(r'EXTENSION_HOMEPAGE "https://github.com/([^"]+)"', text)[1]
    branch = json.loads(ENTRY.read_text())["scm_revision"]
    start = f"https://raw.githubusercontent.com/{home}/{branch}/"
    addresses = re.search(r'EXTENSION_ICONURL "([^"]+)"', text)[1].split()
    addresses += re.search(r'EXTENSION_SCREENSHOTURLS "([^"]+)"', text)[1].split()
    assert len(addresses) >= 3
    for address in addresses:
        assert address.startswith(start)
        assert (ROOT / address.removeprefix(start)).read_bytes()[:8] == b"\x89PNG\r\n\x1a\n", address


def test_the_catalogue_entry_keeps_the_published_rules():
    """The rules of the schema and of the index's own checks: name, repository, category, line ends."""
    content = ENTRY.read_bytes()
    entry = json.loads(content)
    known = {"$schema", "category", "scm_url", "scm_revision", "scm_type", "build_dependencies", "build_subdirectory"}
    assert set(entry) <= known | {"enabled", "tier"}
    assert {"$schema", "category", "scm_url"} <= set(entry)
    assert re.fullmatch(r".*/slicer-extension-catalog-entry-schema-v1\.0\.\d\.json#", entry["$schema"])
    assert entry["build_dependencies"] == ["PyTorch"]
    assert 1 <= entry["tier"] <= 5
    assert b"\r" not in content
    assert not ENTRY.stem.startswith("Slicer")
    assert entry["scm_url"].rpartition("/")[2].startswith("Slicer")
    assert f"project({ENTRY.stem})" in (ROOT / "CMakeLists.txt").read_text()


@pytest.mark.parametrize("file", [ROOT / "SwinSSL.png", MODULE / "Resources" / "Icons" / "SwinSSL.png"])
def test_icons_are_as_large_as_they_must_be(file):
    content = file.read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", content[16:24]) == (128, 128)


@pytest.mark.parametrize("file", PANEL_FILES, ids=lambda file: str(file.relative_to(MODULE)))
def test_the_panel_is_python_3_12_and_imports_no_engine_of_learning(file):
    tree = ast.parse(file.read_text(), feature_version=(3, 12))
    imported = {
        alias.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
    }
    imported |= {(node.module or "").split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not imported & {"torch", "monai", "lightning_fabric", "safetensors", "SimpleITK", "PySide6"}


def test_what_the_panel_imports_of_the_engine_needs_no_torch():
    """In a process of its own: every module of the engine that some file of the panel names."""
    names = set()
    for file in PANEL_FILES:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("SwinSSLLib"):
                names.add(node.module)
    assert "SwinSSLLib.runs" in names
    code = f"import sys, importlib\nfor name in {sorted(names)!r}: importlib.import_module(name)\n"
    code += "assert not {'torch', 'monai', 'lightning_fabric'} & set(sys.modules), sorted(sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@pytest.mark.parametrize("file", UI_FILES, ids=lambda file: file.name)
def test_every_bound_parameter_exists(file):
    parameters = set(re.findall(r"^    (\w+): ", (MODULE / "SwinSSLPanel" / "parameters.py").read_text(), re.MULTILINE))
    for element in ElementTree.parse(file).iter("property"):
        if element.get("name") == "SlicerParameterName":
            assert element.find("string").text in parameters


@pytest.mark.parametrize("file", UI_FILES, ids=lambda file: file.name)
def test_every_widget_that_code_names_is_in_its_file(file):
    widgets = {element.get("name") for element in ElementTree.parse(file).iter("widget")}
    section = MODULE / "SwinSSLPanel" / "sections" / f"{file.stem.lower()}.py"
    sources = [section] if section.is_file() else [MODULE / "SwinSSL.py"]
    if file.stem == "Pretrain":
        sources.append(MODULE / "SwinSSLPanel" / "live.py")
    for source in sources:
        named = set(re.findall(r"\bui\.(\w+)", source.read_text()))
        assert named <= widgets, f"{source.name} names {sorted(named - widgets)}"


@pytest.mark.parametrize("file", UI_FILES, ids=lambda file: file.name)
def test_what_can_be_pressed_has_a_name_and_says_what_it_does(file):
    for widget in ElementTree.parse(file).iter("widget"):
        if widget.get("class") != "QPushButton":
            continue
        properties = {entry.get("name") for entry in widget.findall("property")}
        assert {"text", "toolTip", "accessibleName"} <= properties, widget.get("name")
