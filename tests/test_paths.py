"""Tests of paths: a path stays below its root, and a URI root is not used as a directory."""

import pytest

from nefstudy.errors import BadRoot
from nefstudy.paths import folder_below, receipt_file, report_path, rung_folder, rung_steps, shard_file, shard_index


@pytest.mark.parametrize("root", ["s3://bucket/x", "file:///data/x", "gs://key:hunter2@bucket/x"])
def test_a_uri_is_not_a_directory(root: str) -> None:
    """Asking for a local folder below a root that is a URI raises an error.

    Otherwise, a folder named `s3:` would be created.
    """
    with pytest.raises(BadRoot, match=r"is a URI.*--out") as refused:
        folder_below(root, report_path("s"))
    assert "hunter2" not in str(refused.value)


def test_numbers_in_names_are_read_back() -> None:
    """The numbers in the names of rungs and shards can be read back.

    For other names, the result is None.
    """
    assert rung_steps(rung_folder(10_000_000)) == 10_000_000
    for name in (shard_file(3, 12), receipt_file(3, 12)):
        assert shard_index(name.partition("/")[2]) == 12
    assert {rung_steps("rung-x"), rung_steps("rung-³³³³³³³³"), shard_index("shard-.arrow"), shard_index("a")} == {None}
