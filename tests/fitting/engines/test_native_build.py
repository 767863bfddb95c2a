"""Tests of the native engine's library: it is compiled once, broken files are replaced, and failures are stated."""

import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nefstudy.config import FitConfig
from nefstudy.fields.field import NeuralField
from nefstudy.fitting.engines import choice as choosing
from nefstudy.fitting.engines.choice import EngineChoice, choose
from nefstudy.fitting.engines.compile_cache import cache_unusable_reason
from nefstudy.fitting.engines.native import build
from nefstudy.signals.signal import Signals

Configure = Callable[..., FitConfig]


@pytest.fixture
def empty_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """Yield an empty cache directory, in a process that seems to have loaded nothing."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    build.library.cache_clear()
    cache_unusable_reason.cache_clear()
    choosing._warned.clear()
    yield tmp_path / build.FOLDER
    build.library.cache_clear()
    cache_unusable_reason.cache_clear()


@pytest.fixture
def choice_of(
    configure: Configure, field: NeuralField, signals: Signals, empty_cache: Path
) -> Callable[..., EngineChoice]:
    """Return a function that chooses the engine of a short fit, with an empty cache."""
    return lambda engine: choose(configure(engine=engine, rungs=(1,)), field, signals, fields=5)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Return the list of the files that are compiled from now on, each a few bytes of C++ instead of the engine."""
    compiled: list[Path] = []
    compile_ = build._compile

    def count(path: Path, extra: tuple[str, ...]) -> None:
        compiled.append(path)
        compile_(path, extra)

    source = 'extern "C" const char* nefstudy_vector() { return "short"; }\n'
    monkeypatch.setattr(build, "sources", lambda: {build.MAIN: source})
    monkeypatch.setattr(build, "_compile", count)
    return compiled


def script(path: Path, text: str) -> str:
    """Write an executable shell script and return its path."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize("engine", ["auto", "native"])
def test_without_a_compiler_eager_takes_over_and_says_so(
    choice_of: Callable[..., EngineChoice], caplog, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    """On a machine without a C++ compiler, another engine is used, and one line states the reason."""
    monkeypatch.setenv("CXX", "/nowhere/g++ -v")
    with caplog.at_level(logging.INFO):
        choice = choice_of(engine)
    assert choice.engine.name == "eager"
    assert "there is no C++ compiler /nowhere/g++ (install g++, or set CXX)" in choice.reason
    assert "\n" not in choice.reason


def test_a_compiler_that_fails_is_a_reason(
    choice_of: Callable[..., EngineChoice], empty_cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """If the compiler refuses the sources, the eager engine is used, and the reason has the compiler's first error."""
    broken = script(tmp_path / "broken", 'echo "in a.hpp:" >&2; echo "a.hpp:3: error: no such instruction" >&2; exit 1')
    monkeypatch.setenv("CXX", broken)
    choice = choice_of("native")
    assert choice.engine.name == "eager"
    assert "broken fails: a.hpp:3: error: no such instruction" in choice.reason
    assert not list(empty_cache.glob("*.so"))


@pytest.mark.parametrize("how", ['echo "cc1plus: No space left on device" >&2; exit 1', "kill -9 $$"])
def test_a_temporary_failure_chooses_no_engine(
    choice_of: Callable[..., EngineChoice], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, how: str
) -> None:
    """A full disk or a killed compiler fails the attempt without switching the engine."""
    monkeypatch.setenv("CXX", script(tmp_path / "full", how))
    for _ in range(2):
        with pytest.raises(OSError, match=r"No space left|out of memory"):
            choice_of("native")


@pytest.mark.slow
def test_a_machine_compiles_once(empty_cache: Path, counted: list[Path]) -> None:
    """A process compiles what is missing, and the next one, or one with a broken file, only what it must."""
    assert not build.is_built()
    for _ in range(2):
        assert build.library().nefstudy_vector() == b"short"
        build.library.cache_clear()
    assert build.is_built()
    assert len(counted) == 1
    (path,) = empty_cache.glob("*.so")
    assert counted == [path]
    build.library("-DOTHER")
    assert len(counted) == 2


@pytest.mark.slow
@pytest.mark.parametrize("kept", [0.0, 0.5, 0.99])
def test_a_torn_library_is_compiled_again(empty_cache: Path, counted: list[Path], kept: float) -> None:
    """A library of which a crash left only a part is compiled again."""
    path = build.library_path()
    path.parent.mkdir(parents=True)
    build._compile(path, ())
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    assert build.library().nefstudy_vector() == b"short"
    assert len(counted) == 2
    assert path.read_bytes() == content


@pytest.mark.slow
def test_a_library_that_cannot_be_loaded_is_compiled_again(empty_cache: Path, counted: list[Path]) -> None:
    """A library of the right size that is not one is compiled again."""
    path = build.library_path()
    path.parent.mkdir(parents=True)
    path.write_bytes(b"not a library" * 1000)
    assert build.library().nefstudy_vector() == b"short"
    assert counted == [path]


ONCE = """
from nefstudy.fitting.engines.native import build
source = 'extern "C" const char* nefstudy_vector() { return "short"; }'
build.sources = lambda: {build.MAIN: source}
compile_ = build._compile
def count(*given):
    print("compiled")
    compile_(*given)
build._compile = count
print(build.library().nefstudy_vector().decode())
"""


@pytest.mark.slow
def test_processes_that_need_it_at_once_compile_it_once(tmp_path: Path) -> None:
    """Of two concurrent processes, one compiles the library, and the other waits and loads it."""
    environment = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", ONCE]
    runs = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [run.communicate()[0].split() for run in runs]
    assert sorted(outputs, key=len) == [["short"], ["compiled", "short"]]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("clang++") is None, reason="there is no clang++")
def test_clang_compiles_it(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sources use no extension that only g++ has."""
    monkeypatch.setenv("CXX", "clang++")
    assert build.library().nefstudy_vector()


@pytest.mark.slow
@pytest.mark.parametrize("instructions", ["x86-64-v4", "x86-64-v3", "x86-64"])
def test_every_kind_of_processor_is_compiled_for(instructions: str) -> None:
    """The sources compile, without warnings, for processors with AVX-512, with AVX2, and with neither."""
    if "86" not in os.uname().machine or shutil.which("g++") is None:
        pytest.skip("there is no g++ for x86")
    main = Path(build.__file__).parent / build.MAIN
    command = ["g++", "-std=c++17", f"-march={instructions}", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", str(main)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
