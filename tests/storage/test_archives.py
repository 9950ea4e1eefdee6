import io
import json
import zipfile

import numpy as np
import pytest

from kerasvis.storage.archives import ALWAYS_ACCEPTED, check_archive, read_json
from kerasvis.storage.files import read_npz


def archive(path, **members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            with file.open(name.replace("_", "."), "w", force_zip64=True) as member:
                for block in content:
                    member.write(block)
    return path


def zeros(num_bytes):
    block = bytes(2**24)
    return [block] * (num_bytes // len(block))


def test_a_decompression_bomb(tmp_path):
    bomb = archive(tmp_path / "bomb.npz", a_npy=zeros(ALWAYS_ACCEPTED + 2**24))
    sentence = f"{ALWAYS_ACCEPTED + 2**24:,} bytes, as a decompression bomb"
    with pytest.raises(ValueError, match=sentence):
        check_archive(bomb)
    with pytest.raises(ValueError, match=r"is not an \.npz file containing arrays"):
        read_npz(bomb, "arrays")


def test_zeros_below_the_limit_are_taken(tmp_path):
    check_archive(archive(tmp_path / "zeros.npz", a_npy=zeros(2**26)))
    np.savez_compressed(tmp_path / "arrays.npz", zeros=np.zeros(10**6))
    assert not read_npz(tmp_path / "arrays.npz", "arrays")["zeros"].any()


@pytest.mark.parametrize("content", [b"", b"PK\x05\x06", b"no archive at all", bytes(100)])
def test_what_is_no_archive(tmp_path, content):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(ValueError, match="it is damaged"):
        check_archive(tmp_path / "file")


@pytest.mark.parametrize(
    ("content", "fact"),
    [
        ([b"[" * 10**6], "nested too deeply"),
        ([b" " * 10**6] * 51, "has 51,000,000 bytes, more than 50,000,000"),
        ([b"{"], "cannot be read"),
        ([b"\xff"], "cannot be read"),
    ],
)
def test_a_json_member_that_is_hostile(tmp_path, content, fact):
    path = archive(tmp_path / "model.keras", config_json=content)
    with pytest.raises(ValueError, match=fact):
        read_json(path, "config.json")


def test_json_members(tmp_path):
    path = archive(tmp_path / "model.keras", config_json=[json.dumps({"a": 1}).encode()])
    read_json(path, "config.json")
    with pytest.raises(ValueError, match=r"has no metadata\.json"):
        read_json(path, "metadata.json")


def test_a_damaged_member(tmp_path):
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("config.json", '{"name": "net"}')
    content = bytearray(path.read_bytes())
    content[content.index(b"net")] ^= 1  # the checksum no longer fits
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"config\.json cannot be read"):
        read_json(path, "config.json")


def test_an_array_larger_than_its_member(tmp_path):
    """The header promises a terabyte."""
    header = io.BytesIO()
    description = {"descr": "<f8", "fortran_order": False, "shape": (2**37,)}
    np.lib.format.write_array_header_2_0(header, description)
    path = archive(tmp_path / "arrays.npz", a_npy=[header.getvalue(), bytes(80)])
    with pytest.raises(ValueError, match=r"is not an \.npz file containing arrays"):
        read_npz(path, "arrays")
