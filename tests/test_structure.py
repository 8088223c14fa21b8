"""The shape of the package: which part may import which, and what stays light."""
import ast
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = ROOT / "synergynet_tf"
TOP = 8         # the commands
LEVELS = {"errors": 0, "structures": 0, "storage": 1, "config": 2, "ops": 2, "metrics": 2, "runtime": 3, "losses": 4, "data": 4,
          "models": 4, "baselines": 5, "training": 5, "inference": 5, "report": 6, "workflows": 7,
          **dict.fromkeys(("train", "predict", "evaluate", "prepare", "phantoms", "experiment", "export_isbi"), TOP)}
WITHOUT_TENSORFLOW = ("metrics", "data/phantom", "data/nifti.py", "data/container.py", "data/foreign.py", "data/judgement.py",
                      "data/layouts", "data/splits.py", "data/preprocess.py", "data/instances.py", "data/cache.py",
                      "data/identity.py", "data/timepoints.py", "data/image_quality.py", "data/quality_range.py",
                      "data/anatomy",
                      "data/crops.py", "data/draws.py", "data/donors.py", "data/check", "data/dicom",
                      "data/raw",
                      "structures.py", "storage", "config", "workflows/submission.py", "report/tables.py",
                      "report/check_tables.py",
                      "report/prediction_tables.py", "report/thumbnails.py", "report/preparation.py", "report/comparison.py")
HEAVY = {"tensorflow", "keras", "nibabel", "nilearn", "matplotlib", "sklearn", "scipy"}
COMMANDS = ("train", "predict", "evaluate", "prepare", "phantoms", "export_isbi", "experiment")


def imports(file: pathlib.Path, when_run: bool = False) -> set[str]:
    """The names of what a file imports; with `when_run` without what the type checker alone reads."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    unread = {id(node) for block in ast.walk(tree) if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
              for node in block.body if when_run}
    nodes = [node for node in ast.walk(tree) if id(node) not in unread]
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return found


def part_of(module: str) -> str:
    return module.split(".")[1] if module.count(".") else ""


@pytest.mark.parametrize("file", sorted(PACKAGE.rglob("*.py")), ids=lambda f: str(f.relative_to(PACKAGE)))
def test_imports_point_one_way(file):
    relative = file.relative_to(PACKAGE)
    own = relative.parts[0].removesuffix(".py")
    for module in imports(file):
        other = part_of(module) if module.startswith("synergynet_tf") else ""
        if other in ("", own, "__version__"):
            continue
        assert LEVELS[other] < LEVELS[own], f"{relative} imports {module}"


@pytest.mark.parametrize("name", WITHOUT_TENSORFLOW)
def test_light_parts_import_no_tensorflow(name):
    files = [PACKAGE / name] if name.endswith(".py") else sorted((PACKAGE / name).rglob("*.py"))
    assert files
    for file in files:
        assert not {m.split(".")[0] for m in imports(file, when_run=True)} & {"tensorflow", "keras"}, file


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_import_nothing_heavy_at_the_top(command):
    code = (f"import sys, synergynet_tf.{command}; "
            f"print([m for m in {sorted(HEAVY)!r} if m in sys.modules])")
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert shown.stdout.strip() == "[]"


@pytest.mark.parametrize("command", COMMANDS)
def test_help_answers(command):
    shown = subprocess.run([sys.executable, "-m", f"synergynet_tf.{command}", "--help"], capture_output=True, text=True, cwd=ROOT)
    assert shown.returncode == 0, shown.stderr
    assert "usage" in shown.stdout


def test_the_root_holds_what_a_user_types():
    assert {file.stem for file in PACKAGE.glob("*.py")} <= {*COMMANDS, "__init__", "__main__", "structures", "errors"}


@pytest.mark.parametrize("folder", ["tuning", "export", "synergynet_tf"])
def test_no_module_imports_a_command(folder):
    for file in sorted((ROOT / folder).rglob("*.py")):
        for module in filter(None, imports(file)):      # None: of the folder itself
            assert part_of(module) not in COMMANDS or not module.startswith("synergynet_tf."), f"{file} imports {module}"


SOURCES = sorted(file for folder in ("synergynet_tf", "tuning", "export") for file in (ROOT / folder).rglob("*.py"))
LONGEST_FILE, LONGEST_FUNCTION, MOST_PARAMETERS = 300, 45, 7
OPTIONS_OF_A_CALL = {       # which every caller leaves at their defaults but for one or two
    "crop_and_resize_3d",       # takes what tf.image.crop_and_resize takes
    "score_files",              # the files of a case and how they are scored, for Python
}


@pytest.mark.parametrize("file", SOURCES, ids=lambda f: str(f.relative_to(ROOT)))
def test_files_and_functions_are_short_and_take_little(file):
    text = file.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= LONGEST_FILE
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            taken = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
            parameters = [each.arg for each in taken if each.arg not in ("self", "cls")]
            assert node.end_lineno - node.lineno < LONGEST_FUNCTION, node.name
            assert len(parameters) <= MOST_PARAMETERS or node.name in OPTIONS_OF_A_CALL, (node.name, parameters)


MOST_INSIDE = 64        # imports within functions: what keeps --help quick, what is optional, how TensorFlow begins


def test_imports_stand_at_the_top_of_files():
    inside = [f"{file.relative_to(ROOT)}:{node.lineno}" for file in SOURCES
              for function in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if isinstance(function, ast.FunctionDef)
              for node in function.body if isinstance(node, (ast.Import, ast.ImportFrom))]
    assert len(inside) <= MOST_INSIDE, inside
