"""Secret files: strict where they are there, and several lines for several valid secrets."""

import logging
import os
from pathlib import Path

import pytest

from functions.common.access import given_key, is_known, require_secret
from functions.common.errors import SecretError
from functions.common.settings import ComponentSettings, SecretLines, read_secret, read_secrets


class Settings(ComponentSettings):
    """A key that is read from its file only, and a field that may be in the environment too."""

    door_key: SecretLines = ()
    database_url: str = "default"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SECRETS_DIR", str(tmp_path))
    return tmp_path


def test_a_file_that_is_not_there_is_no_secret(folder: Path) -> None:
    assert read_secret("door-key") is None
    assert read_secrets("door-key") == ()
    assert Settings().door_key == ()
    (folder / "a-file").write_text("x")
    assert read_secret("a-file/door-key") is None


@pytest.mark.parametrize("content", [b"", b" \r\n\t\n", b"\xff\xfe"])
def test_an_empty_or_unreadable_file_is_an_error(folder: Path, content: bytes) -> None:
    path = folder / "door-key"
    path.write_bytes(content)
    for read in (read_secret, read_secrets):
        with pytest.raises(SecretError, match=f"the secret file {path} (is empty|cannot be read)"):
            read("door-key")
    with pytest.raises(SecretError, match="door-key"):
        Settings()


def test_a_folder_in_place_of_the_file_is_an_error(folder: Path) -> None:
    (folder / "door-key").mkdir()
    with pytest.raises(SecretError, match="cannot be read"):
        Settings()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_of_somebody_else_is_an_error(folder: Path) -> None:
    (folder / "door-key").write_text("x")
    (folder / "door-key").chmod(0)
    with pytest.raises(SecretError, match="cannot be read: Permission denied"):
        Settings()


def test_each_line_is_a_secret(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "door-key").write_text(" old \r\n\nnew\n")
    (folder / "database-url").write_text("postgresql://file\n")
    assert Settings().door_key == ("old", "new")
    assert Settings().database_url == "postgresql://file"
    # a key is in no environment, whatever other settings do
    monkeypatch.setenv("DOOR_KEY", "from the environment")
    monkeypatch.setenv("DATABASE_URL", "postgresql://environment")
    assert Settings().door_key == ("old", "new")
    assert Settings().database_url == "postgresql://environment"
    (folder / "door-key").unlink()
    assert Settings().door_key == ()


def test_a_closed_door_needs_its_secret(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    require_secret("door-key", ["x"], "secret", variable="DOOR_AUTH", effect="anybody may enter")
    with pytest.raises(SecretError, match="DOOR_AUTH=none, and anybody may enter") as raised:
        require_secret("door-key", [], "secret", variable="DOOR_AUTH", effect="anybody may enter")
    assert str(folder / "door-key") in str(raised.value)
    assert not caplog.records


def test_an_open_door_is_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    require_secret("door-key", [], "none", variable="DOOR_AUTH", effect="anybody may enter")
    assert [(each.levelno, each.getMessage()) for each in caplog.records] == [
        (logging.WARNING, "DOOR_AUTH=none: anybody may enter")
    ]


def test_keys() -> None:
    assert given_key({"X-Api-Key": "k"}) == given_key({"Authorization": "Bearer  k "}) == "k"
    assert given_key({"Authorization": "Basic k"}) == given_key({}) == ""
    assert is_known("new", ["old", "new"])
    for key, keys in (("", ["old"]), ("old", []), ("\udcff", ["?"]), ("ol", ["old"])):
        assert not is_known(key, keys)
