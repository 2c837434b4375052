from __future__ import annotations

from pathlib import Path

import pytest

from hermes_twisted.access import api_server
from hermes_twisted.shared.problem import Problem

KEY = "0123456789abcdef"
OTHER = "fedcba9876543210"
NESTED = "platforms:\n  api_server:\n    extra:\n      key: {}\n"


def dotenv(home: Path, text: str | bytes, mode: int = 0o600) -> None:
    write(home / ".env", text, mode)


def config(home: Path, text: str | bytes, mode: int = 0o600) -> None:
    write(home / "config.yaml", text, mode)


def write(path: Path, text: str | bytes, mode: int) -> None:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    path.chmod(mode)


def read(home: Path, **environ: str) -> str:
    return api_server.read(home, environ).text


def complaint(home: Path, **environ: str) -> str:
    with pytest.raises(Problem) as caught:
        api_server.read(home, environ)
    return str(caught.value)


def test_environment(tmp_path: Path) -> None:
    """The process's environment will do where there is no file."""
    assert read(tmp_path, API_SERVER_KEY=KEY) == KEY


@pytest.mark.parametrize(
    ("line", "key"),
    [
        (f"API_SERVER_KEY={KEY}", KEY),
        (f"export API_SERVER_KEY={KEY}", KEY),
        (f"  API_SERVER_KEY = {KEY}  # ours", KEY),
        (f"API_SERVER_KEY='{KEY} #x'", f"{KEY} #x"),
        (f'API_SERVER_KEY="{KEY}\\n"', f"{KEY}\n"),
        (f"API_SERVER_KEY={OTHER}\nAPI_SERVER_KEY={KEY}", KEY),
        (f"A={KEY}\nAPI_SERVER_KEY=x${{A}}", f"x{KEY}"),
        (f"#API_SERVER_KEY={OTHER}\nAPI_SERVER_KEY={KEY}", KEY),
        (f"API_SERVER_KEY={KEY}ü", KEY),
    ],
)
def test_dotenv(tmp_path: Path, line: str, key: str) -> None:
    """`.env` overrides the environment, and means what python-dotenv says it means."""
    dotenv(tmp_path, line + "\n")

    assert read(tmp_path, API_SERVER_KEY=OTHER) == key


def test_dotenv_in_latin_1(tmp_path: Path) -> None:
    dotenv(tmp_path, b"# sch\xf6n\nAPI_SERVER_KEY=" + KEY.encode())

    assert read(tmp_path) == KEY


def test_dotenv_without_the_key(tmp_path: Path) -> None:
    """A file that says nothing of it leaves the environment's."""
    dotenv(tmp_path, "OPENAI_API_KEY=x\nAPI_SERVER_KEY\n")

    assert read(tmp_path, API_SERVER_KEY=KEY) == KEY


def test_empty_in_dotenv(tmp_path: Path) -> None:
    """An empty value hides the environment's, and leaves config.yaml's."""
    dotenv(tmp_path, "API_SERVER_KEY=\n")
    config(tmp_path, NESTED.format(KEY.replace("0", "x")))

    assert read(tmp_path, API_SERVER_KEY=OTHER) == KEY.replace("0", "x")


def test_environment_before_config(tmp_path: Path) -> None:
    config(tmp_path, NESTED.format(f"'{OTHER}'"))

    assert read(tmp_path, API_SERVER_KEY=KEY) == KEY
    assert read(tmp_path) == OTHER


def test_below_gateway(tmp_path: Path) -> None:
    """Hermes takes `gateway.platforms`, too; plain `platforms` counts before it."""
    below = "gateway:\n" + "".join(f"  {line}\n" for line in NESTED.format(OTHER).splitlines())
    config(tmp_path, below)
    assert read(tmp_path) == OTHER

    config(tmp_path, below + NESTED.format(f"'{KEY}'"))
    assert read(tmp_path) == KEY


@pytest.mark.parametrize(
    "text", ["", "[]", "platforms: x", "platforms:\n  api_server:\n    extra:\n      port: 1\n"]
)
def test_no_key(tmp_path: Path, text: str) -> None:
    """Where there is none, it is said where it was looked for."""
    config(tmp_path, text)

    message = complaint(tmp_path)

    assert str(tmp_path / ".env") in message
    assert str(tmp_path / "config.yaml") in message


@pytest.mark.parametrize(
    "weak", [*sorted(api_server.PLACEHOLDERS), "YOUR_API_KEY_HERE", " your_api_key_here ",
             "0123456789abcde", "   0123456789   "]
)  # fmt: skip
def test_weak(tmp_path: Path, weak: str) -> None:
    """Hermes' own rule: 16 characters without the space around them, and no placeholder."""
    text = complaint(tmp_path, API_SERVER_KEY=weak)

    assert "too weak" in text
    assert f" {weak} " not in text


def test_any_characters(tmp_path: Path) -> None:
    """Of a long enough key any character will do, and each counts."""
    key = "a b/c?d&e=f%g+h'ü"

    secret = api_server.read(tmp_path, {"API_SERVER_KEY": key})

    assert api_server.key_of(secret).find(key.encode()) is not None
    assert api_server.key_of(secret).find(key.strip("ü").encode()) is None
    assert api_server.key_of(secret).name == "api-server"


def test_not_text(tmp_path: Path) -> None:
    """A number is no key to Hermes, either."""
    config(tmp_path, NESTED.format("1234567890123456789"))

    assert "not text" in complaint(tmp_path)


@pytest.mark.parametrize(
    "text", ["a: [", "\tkey: x", b"\xff\xfe", "a: !!python/object:os.system x"]
)
def test_bad_yaml(tmp_path: Path, text: str | bytes) -> None:
    """A file that cannot be read is named, and not quoted."""
    config(tmp_path, text)

    message = complaint(tmp_path)

    assert f"{tmp_path / 'config.yaml'} is not valid YAML" in message
    assert "object" not in message


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620])
@pytest.mark.parametrize("name", [".env", "config.yaml"])
def test_files_of_others(tmp_path: Path, name: str, mode: int) -> None:
    """A file that others can read or write holds no key that guards a shell."""
    dotenv(tmp_path, "") if name == "config.yaml" else None
    write(tmp_path / name, NESTED.format(KEY), mode)

    assert f"chmod 600 {tmp_path / name}" in complaint(tmp_path)


def test_config_is_not_looked_at_in_vain(tmp_path: Path) -> None:
    """With a key in the environment the permissions of config.yaml do not matter."""
    config(tmp_path, "", 0o644)

    assert read(tmp_path, API_SERVER_KEY=KEY) == KEY
