from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autointerp.artifacts import atomic_path, hash_file, hash_value, read_json, rng_of, write_json, write_text
from autointerp.errors import BadInput


def test_a_failed_write_leaves_the_old_file_and_no_rubbish(tmp_path: Path) -> None:
    target = tmp_path / "table"
    write_text(target, "old")
    with pytest.raises(RuntimeError), atomic_path(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["table"]


def test_a_file_where_a_folder_should_be_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(BadInput, match="can't write in .*: give a writable folder") as caught:
        write_text(tmp_path / "file" / "table", "y")
    assert "\n" not in str(caught.value)


def test_hashes_depend_on_values_and_names_not_on_order(tmp_path: Path) -> None:
    assert hash_value({"a": 1, "b": [2]}) == hash_value({"b": [2], "a": 1})
    assert hash_value({"a": 1}) != hash_value({"a": 1.5})
    for name, text in (("one", "1"), ("two", "2")):
        write_text(tmp_path / "folder" / name, text)
    before = hash_file(tmp_path / "folder")
    (tmp_path / "folder" / "one").rename(tmp_path / "folder" / "three")
    assert hash_file(tmp_path / "folder") != before


def test_generators_are_named_not_shared() -> None:
    first = rng_of(0, "a").integers(1 << 40, size=4)
    rng_of(0, "b").integers(1 << 40, size=4)
    np.testing.assert_array_equal(first, rng_of(0, "a").integers(1 << 40, size=4))
    assert (first != rng_of(1, "a").integers(1 << 40, size=4)).any()


def test_json_round_trip_and_damage(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"x": ["é", 1.5, None]})
    assert read_json(tmp_path / "a.json") == {"x": ["é", 1.5, None]}
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(BadInput, match="is not JSON"):
        read_json(tmp_path / "a.json")
    with pytest.raises(BadInput, match="no file"):
        read_json(tmp_path / "b.json")
