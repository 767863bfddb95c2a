"""Laws of paths: each lies below its root, and a root that is a URI is not taken for a directory."""

import pytest

from nefstudy.errors import BadRoot
from nefstudy.paths import folder_below, receipt_file, report_path, rung_folder, rung_steps, shard_file, shard_index


@pytest.mark.parametrize("root", ["s3://bucket/x", "file:///data/x", "gs://key:hunter2@bucket/x"])
def test_a_uri_is_no_directory(root: str) -> None:
    """What is written for people is refused there, where a folder called s3: was made in the working directory."""
    with pytest.raises(BadRoot, match=r"is a URI.*--out") as refused:
        folder_below(root, report_path("s"))
    assert "hunter2" not in str(refused.value)


def test_numbers_in_names_are_read_back() -> None:
    """A rung's and a shard's name give their number; other names give none."""
    assert rung_steps(rung_folder(10_000_000)) == 10_000_000
    for name in (shard_file(3, 12), receipt_file(3, 12)):
        assert shard_index(name.partition("/")[2]) == 12
    assert {rung_steps("rung-x"), rung_steps("rung-³³³³³³³³"), shard_index("shard-.arrow"), shard_index("a")} == {None}
