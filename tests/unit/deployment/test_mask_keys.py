"""The keys of masked sums at a site: made once, pinned by hand, compared by telephone."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from ms_pfl.deployment.commands import main
from ms_pfl.deployment.mask_keys import (
    Notebook,
    code_of,
    line_of,
    own_key,
    pin,
    pinned,
    read_keys,
)
from ms_pfl.errors import InputError
from ms_pfl.federation.secure_sums import MaskError, new_key, public_key

COUNTRIES = ("Australia", "Czech Republic", "Türkiye")


def all_keys(folders: dict[str, Path]) -> dict[str, bytes]:
    return {country: public_key(own_key(folder)) for country, folder in folders.items()}


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    return {country: tmp_path / country for country in COUNTRIES}


def test_a_key_is_made_once_for_this_account_alone(tmp_path: Path) -> None:
    key = own_key(tmp_path / "site")
    assert own_key(tmp_path / "site") == key
    assert (tmp_path / "site" / "mask.key").stat().st_mode & 0o777 == 0o600
    (tmp_path / "site" / "mask.key").write_bytes(key[:31])
    with pytest.raises(InputError, match=r"mask\.key is damaged: restore it from your copy"):
        own_key(tmp_path / "site")


def test_a_key_that_is_lost_after_it_was_pinned_is_not_made_again(folders: dict[str, Path]) -> None:
    pin(folders["Türkiye"], all_keys(folders))
    (folders["Türkiye"] / "mask.key").unlink()
    with pytest.raises(InputError, match=r"mask\.key is lost: restore it from your copy"):
        own_key(folders["Türkiye"])
    # the remedy is right when obeyed
    (folders["Türkiye"] / "masks.yml").unlink()
    assert len(own_key(folders["Türkiye"])) == 32


def test_sites_with_one_code_have_the_same_keys(folders: dict[str, Path], tmp_path: Path) -> None:
    keys = all_keys(folders)
    file = tmp_path / "masks.yml"
    file.write_text("".join(line_of(country, key) for country, key in keys.items()))
    assert read_keys(file) == keys
    for folder in folders.values():
        assert pin(folder, read_keys(file)) == list(COUNTRIES)
        assert pin(folder, read_keys(file)) == [], "nothing new"
        assert pinned(folder) == keys
        assert (folder / "masks.yml").stat().st_mode & 0o777 == 0o600
    code = code_of(keys)
    assert len(code.replace(" ", "")) == 60
    assert code.replace(" ", "").isdigit()
    assert code_of(dict(reversed(keys.items()))) == code
    changed = {**keys, "Australia": public_key(new_key())}
    renamed = {**{k: v for k, v in keys.items() if k != "Australia"}, "Austria": keys["Australia"]}
    assert len({code, code_of(changed), code_of(renamed), code_of(keys, COUNTRIES[:2])}) == 4
    with pytest.raises(InputError, match="no key of 'Wales' is pinned at this site"):
        code_of(keys, [*COUNTRIES, "Wales"])


def test_a_pinned_key_is_replaced_by_hand_alone(folders: dict[str, Path]) -> None:
    keys, own = all_keys(folders), folders["Türkiye"]
    pin(own, keys)
    other = {**keys, "Australia": public_key(new_key())}
    with pytest.raises(InputError, match="another key of 'Australia' is pinned here"):
        pin(own, other)
    assert pinned(own) == keys
    assert pin(own, other, replace=True) == ["Australia"]
    assert pinned(own) == other
    more = {**other, "Wales": public_key(new_key())}
    assert pin(own, more) == ["Wales"]


def test_a_site_with_another_name_is_pinned_by_hand_alone(folders: dict[str, Path]) -> None:
    """What is pinned stays a file that can be read: two countries with one key are none."""
    keys, own = all_keys(folders), folders["Türkiye"]
    pin(own, keys)
    renamed = {"Austria" if name == "Australia" else name: key for name, key in keys.items()}
    with pytest.raises(InputError, match="the key of 'Australia' is pinned here, and the file has"):
        pin(own, renamed)
    assert pinned(own) == keys
    assert pin(own, renamed, replace=True) == ["Austria"]
    assert pinned(own) == renamed


def test_a_file_without_the_own_key_is_not_pinned(folders: dict[str, Path]) -> None:
    keys = all_keys(folders)
    del keys["Türkiye"]
    with pytest.raises(InputError, match="this site's own key is not in the file"):
        pin(folders["Türkiye"], keys)
    assert not pinned(folders["Türkiye"])


KEY = base64.b64encode(public_key(bytes(range(32)))).decode()
OTHER = base64.b64encode(public_key(bytes(range(1, 33)))).decode()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("- a\n", "cannot be used"),
        (f"Australia: {KEY}\n", "the key of 'Australia' cannot be used: it does not begin with"),
        ("Australia: x25519:AAAA\n", "a public key has 32 bytes, not 3"),
        ("Australia: x25519:%%\n", "the key of 'Australia' cannot be used"),
        (f"Australia: x25519:{base64.b64encode(bytes(32)).decode()}\n", "everybody knows"),
        (f"A: x25519:{KEY}\nB: x25519:{KEY}\n", "'A' and 'B' have the same key"),
        (f"A: x25519:{KEY}\nA: x25519:{OTHER}\n", "2 lines and 1 countries"),
        (f"NO: x25519:{KEY}\n", "put a name in quotes"),
        ("A: [", "cannot be used"),
        ("x" * 1_000_001, "is larger than"),
    ],
)
def test_files_that_are_none(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "masks.yml").write_text(text)
    with pytest.raises(InputError, match=told):
        read_keys(tmp_path / "masks.yml")
    with pytest.raises(InputError, match="cannot be read"):
        read_keys(tmp_path / "nowhere.yml")


def test_the_commands_of_a_site(
    folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = []
    for country, folder in folders.items():
        assert main(["init", str(folder)]) == 0
        capsys.readouterr()
        assert main(["keys", "--folder", str(folder)]) == 0
        assert "No key is pinned" in capsys.readouterr().out
        assert main(["key", country, "--folder", str(folder)]) == 0
        lines.append(capsys.readouterr().out)
    file = tmp_path / "masks.yml"
    file.write_text("".join(lines))
    codes = set()
    for folder in folders.values():
        assert main(["pin", str(file), "--folder", str(folder)]) == 0
        told = capsys.readouterr().out
        assert 'Pinned: "Australia", "Czech Republic", "Türkiye".' in told
        assert told.count("(this site)") == 1
        codes.add(told.partition("Code of all of them: ")[2].partition("\n")[0])
        assert '"pinned"' in (folder / "security.jsonl").read_text()
    assert codes == {code_of(read_keys(file))}
    file.write_text("".join(lines[:2]))
    assert main(["pin", str(file), "--folder", str(folders["Türkiye"])]) == 1
    assert "nothing is pinned" in capsys.readouterr().err


def test_one_question_has_one_answer_whatever_happens_to_the_process(tmp_path: Path) -> None:
    first, other = b"q" * 32, b"r" * 32
    book = Notebook(tmp_path, "7")
    book.note(first, b"a" * 32)
    Notebook(tmp_path, "7").note(first, b"a" * 32)
    book.note(other, b"b" * 32)
    with pytest.raises(MaskError, match=r"is another one than before.*give a new flwr run"):
        Notebook(tmp_path, "7").note(first, b"b" * 32)
    Notebook(tmp_path, "8").note(first, b"b" * 32)  # whose questions have other digests
    assert len(book.path.read_text().splitlines()) == 2
    assert book.path.stat().st_mode & 0o777 == 0o600
    assert book.path.parent.stat().st_mode & 0o077 == 0
    book.path.write_text(book.path.read_text()[:-5])
    with pytest.raises(MaskError, match="damaged, so that it masks nothing more"):
        book.note(first, b"a" * 32)
