"""Tests of names: an accepted name is a safe folder name, a single URL segment and a valid REST parameter."""

import os
import re
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nefstudy.config import SignalsConfig
from nefstudy.errors import BadConfig
from nefstudy.ledger import Ledger
from nefstudy.names import CELL, CELL_LENGTH, NAME, NAME_LENGTH, cell_name, phase_name, study_name
from nefstudy.paths import comparison_path, handover_path, report_path, scratch_path
from nefstudy.study.plan.study_plan import CellPlan, StudyPlan
from nefstudy.study.space import Categorical

from .ledger.records import as_cells

EXAMPLES = int(os.environ.get("NEFSTUDY_EXAMPLES", "200"))
GOOD = ("s", "digits", "phase-1", "a.b", "A_b-c.9", "0", "x" * NAME_LENGTH)
BAD = (
    "", ".", "..", "../../other", "../neural_datasets", "/export", "team/digits", "first try", "größe", "50%",
    ".hidden", "a..b", "a.", "-a", "_a", "a\n", "a\0", "a\udcff", "[b]x[/b]", "\x1b[31mx",
    "x" * (NAME_LENGTH + 1), "١", "ﬁ",
)  # fmt: skip
NEAR = st.text(alphabet="aZ0._-/ ~\n\0%é", max_size=8) | st.text(max_size=120)
SIREN = CellPlan(
    "phase2", SignalsConfig(name="digits8"), "siren", {"init": Categorical(("random",)), "steps": Categorical((1,))}
)


@pytest.mark.parametrize("name", GOOD)
def test_ordinary_names_are_accepted(name: str) -> None:
    """A valid name is accepted unchanged as the name of a study, a phase or a cell.

    A pair of valid names is also a valid name of a cell.
    """
    assert study_name(name) == phase_name(name) == cell_name(name) == name
    assert cell_name(f"{name}/{name}") == f"{name}/{name}"


@pytest.mark.parametrize("name", BAD)
def test_names_that_are_paths_or_patterns_are_refused(name: str) -> None:
    """The error for a rejected name is one printable line that states the rule."""
    for check in (study_name, phase_name, lambda text: cell_name(f"a/{text}")):
        with pytest.raises(BadConfig, match=r"letters .* digit") as refused:
            check(name)
        assert str(refused.value).isprintable()
        assert len(str(refused.value)) < 600


@settings(max_examples=EXAMPLES, deadline=None)
@given(NEAR)
def test_an_accepted_name_is_one_safe_segment(name: str) -> None:
    """URL quoting and path normalization leave an accepted name unchanged.

    For every other name, the functions that build paths raise an error.
    """
    try:
        study_name(name)
    except BadConfig:
        for path in (scratch_path, report_path, handover_path):
            with pytest.raises(BadConfig):
                path(name)
        with pytest.raises(BadConfig):
            comparison_path("a", name)
        return
    assert quote(name, safe="") == name
    assert os.path.normpath(name) == name
    assert "/" not in name
    assert name[0] not in ".-"


@settings(max_examples=EXAMPLES, deadline=None)
@given(NEAR)
def test_rest_patterns_match_the_rule(name: str) -> None:
    """A name matches REST's pattern and length limit if and only if a plan accepts it."""
    for pattern, length, check in ((NAME, NAME_LENGTH, study_name), (CELL, CELL_LENGTH, cell_name)):
        served = len(name) <= length and re.fullmatch(pattern.removesuffix("$"), name) is not None
        try:
            accepted = check(name) == name
        except BadConfig:
            accepted = False
        assert accepted == served or (check is cell_name and served)  # each half of a cell label has its own limit


@pytest.mark.parametrize("name", BAD)
def test_a_plan_and_a_ledger_refuse_a_bad_name(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Plans and ledgers reject an invalid name for a study, a phase or a cell."""
    with pytest.raises(BadConfig, match="1 to 100 letters"):
        StudyPlan(study=name, cells=(SIREN,))
    with pytest.raises(BadConfig, match="1 to 100 letters"):
        CellPlan(**{**vars(SIREN), "field": name})
    with pytest.raises(BadConfig, match="1 to 100 letters"):
        CellPlan(**{**vars(SIREN), "phase": name})
    with Ledger.open(str(tmp_path_factory.mktemp("ledger") / "ledger.db")) as ledger:
        for study, phase, cell in ((name, "phase2", "a/b"), ("s", name, "a/b"), ("s", "phase2", f"a/{name}")):
            with pytest.raises(BadConfig, match="1 to 100 letters"):
                ledger.studies.put(study, {}, cells=as_cells({(phase, cell): 1}))
        assert ledger.studies.all() == []


def test_no_study_has_the_folder_of_a_comparison() -> None:
    """A comparison's folder differs from every report's folder and from those of other comparisons.

    For example, comparing `a` with `b` does not use the folder of the study `a-b`.
    """
    assert comparison_path("a", "b") != report_path("a-b")
    assert comparison_path("a-b", "c") != comparison_path("a", "b-c")
    with pytest.raises(BadConfig):
        study_name(comparison_path("a", "b").removeprefix("reports/"))
