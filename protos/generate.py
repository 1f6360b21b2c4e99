"""Generates edgemeter_protos.v1 from edgemeter/v1/*.proto.

python protos/generate.py            write the code
python protos/generate.py --check    exit 1 where the committed code is stale
"""

from __future__ import annotations

import filecmp
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
KINDS = ("python", "grpc_python", "mypy", "mypy_grpc")
TARGET = HERE / "src" / "edgemeter_protos" / "v1"


def generate(into: Path) -> None:
    """Writes the generated modules, with their stubs, to the folder `into`."""
    sources = sorted(path.relative_to(HERE) for path in HERE.glob("edgemeter/v1/*.proto"))
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{HERE}"]
        command += [f"--{kind}_out={scratch}" for kind in KINDS]
        # The plugins for stubs stand beside the interpreter, which need not be on PATH.
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment = os.environ | {"PATH": path}
        subprocess.run(
            [*command, *map(str, sources)], check=True, cwd=HERE, env=environment, capture_output=True
        )
        into.mkdir(parents=True, exist_ok=True)
        for made in sorted(Path(scratch, "edgemeter", "v1").iterdir()):
            if "_pb2_grpc" in made.name and "Stub" not in made.read_text():  # no service in it
                continue
            # protoc imports by the path of the .proto; the package that we install is another.
            text = made.read_text().replace("edgemeter.v1 import", "edgemeter_protos.v1 import")
            text = text.replace("import edgemeter.v1.", "import edgemeter_protos.v1.")
            text = text.replace("edgemeter.v1.", "edgemeter_protos.v1.") if made.suffix == ".pyi" else text
            (into / made.name).write_text(text)
        (into / "__init__.py").touch()


def stale() -> list[str]:
    """Names of the generated files that differ from what the .proto files give today."""
    with tempfile.TemporaryDirectory() as scratch:
        fresh = Path(scratch, "v1")
        generate(fresh)
        names = {path.name for folder in (fresh, TARGET) for path in folder.glob("*.py*")}
        return sorted(
            name
            for name in names
            if not (fresh / name).exists()
            or not (TARGET / name).exists()
            or not filecmp.cmp(fresh / name, TARGET / name, shallow=False)
        )


def main() -> int:
    if sys.argv[1:] == ["--check"]:
        names = stale()
        if names:
            print(f"stale generated code: {', '.join(names)}; run: make protos", file=sys.stderr)
        return 1 if names else 0
    shutil.rmtree(TARGET, ignore_errors=True)
    generate(TARGET)
    return 0


if __name__ == "__main__":
    sys.exit(main())
