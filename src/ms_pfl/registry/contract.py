"""The ingest contract: the columns of the four registry tables, their kinds and their limits.

Names follow the MSBase export. One place holds them, so that reading, the pandera schemas and
the synthetic registry agree.
"""

from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["text", "code", "date", "number", "edss", "flag"]

#: EDSS scores that exist: 0, then 1 to 10 in steps of a half (0.5 is not on the scale).
EDSS_SCALE: tuple[float, ...] = (0.0, *(half / 2 for half in range(2, 21)))

#: First year in which a date of a person, and of a visit, relapse or treatment, is believed.
EARLIEST_PERSON_YEAR = 1900
EARLIEST_RECORD_YEAR = 1960

#: Course of the disease at a visit: clinically isolated syndrome, relapsing-remitting,
#: secondary progressive, primary progressive, progressive relapsing.
COURSES: tuple[str, ...] = ("CIS", "RR", "SP", "PP", "PR")

#: KFS_1..7: pyramidal, cerebellar, brainstem, sensory, bowel and bladder, visual, cerebral.
FUNCTIONAL_SYSTEMS: tuple[str, ...] = (*(f"KFS_{i}" for i in range(1, 8)), "KFS_AMBULATION")

#: What a column of kind "flag" holds.
FLAG_CODES: tuple[str, ...] = ("0", "1")

ONSET_SITES: tuple[str, ...] = (
    "ONSET_SUPRATENTORIAL",
    "ONSET_OPTIC",
    "ONSET_BRAINSTEM",
    "ONSET_SPINAL",
)


@dataclass(frozen=True)
class Column:
    """One column: its name, what it holds, and which values are believed.

    Attributes:
        name: name in the canonical table.
        kind: "text" (ids, names), "code" (one of `codes`), "date", "number", "edss", "flag" (0/1).
        required: the column must be there and every row must hold a value.
        aliases: further names under which exports carry the column.
        codes: canonical value of each accepted spelling (upper case), for kind "code".
        low: smallest value believed (number), inclusive.
        high: largest value believed (number), inclusive.
        earliest_year: dates before this year are refused (date).
        longest: most characters believed (text).
        is_id: names a person or an episode, so that a rounded number is refused (text).
        may_be_partial: told from memory, so that a year may be all that is known (date).
    """

    name: str
    kind: Kind
    required: bool = False
    aliases: tuple[str, ...] = ()
    codes: dict[str, str] = field(default_factory=dict)
    low: float = float("-inf")
    high: float = float("inf")
    earliest_year: int = EARLIEST_RECORD_YEAR
    longest: float = float("inf")
    is_id: bool = False
    may_be_partial: bool = False

    @property
    def canonical(self) -> tuple[str, ...]:
        """The values of `codes`, each once."""
        return tuple(dict.fromkeys(self.codes.values()))


_PATIENT = Column("PATIENT_ID", "text", required=True, longest=100, is_id=True)

CONTRACT: dict[str, tuple[Column, ...]] = {
    "patients": (
        _PATIENT,
        Column("country", "text", required=True, longest=100),
        Column("BIRTH_DATE", "date", earliest_year=EARLIEST_PERSON_YEAR, may_be_partial=True),
        Column("gender", "code", codes={"F": "F", "FEMALE": "F", "M": "M", "MALE": "M"}),
        Column("clinic_code", "text"),
        Column(
            "MS_ONSET_DATE",
            "date",
            aliases=("ms_onset_reformat",),
            earliest_year=EARLIEST_PERSON_YEAR,
            may_be_partial=True,
        ),
        Column(
            "MS_DIAGNOSIS_DATE", "date", earliest_year=EARLIEST_PERSON_YEAR, may_be_partial=True
        ),
        *(Column(site, "flag") for site in ONSET_SITES),
        # Levels or years of schooling; beyond are codes for "not known" such as -99 and 999.
        Column("EDUCATION", "number", low=0, high=25),
    ),
    "visits": (
        _PATIENT,
        Column("DATE_OF_VISIT", "date", required=True),
        # Required as a column; a visit without a score counts as a visit and is no anchor.
        Column("EDSS", "edss"),
        *(Column(name, "number", low=0, high=6) for name in FUNCTIONAL_SYSTEMS[:-1]),
        # 0-12 in Neurostatus, 0-16 in later versions of it.
        Column("KFS_AMBULATION", "number", low=0, high=16),
        Column(
            "MSCOURSE_AT_VISIT",
            "code",
            codes={course: course for course in COURSES}
            | {"RRMS": "RR", "SPMS": "SP", "PPMS": "PP", "PRMS": "PR"},
        ),
    ),
    "relapses": (
        _PATIENT,
        Column("DATE_OF_ONSET", "date", required=True),
        Column("severity", "text"),
    ),
    "treatments": (
        _PATIENT,
        Column("dmt", "text", required=True),
        Column("START_DATE", "date", required=True),
        # Required as a column; an empty value means that the treatment goes on.
        Column("END_DATE", "date"),
    ),
}

#: Columns of the patients table that the other tables may carry too: they say which of several
#: patients of one id a row is of, and whether it is of the patient's country at all.
COMPANIONS: dict[str, tuple[Column, ...]] = {
    "patients": (),
    **dict.fromkeys(
        ("visits", "relapses", "treatments"),
        (Column("country", "text", longest=100), Column("clinic_code", "text")),
    ),
}

#: All columns that are read of each table.
COLUMNS = {name: (*columns, *COMPANIONS[name]) for name, columns in CONTRACT.items()}

#: Columns that must be there although single values may be missing.
REQUIRED_COLUMNS: dict[str, tuple[str, ...]] = {
    "patients": ("PATIENT_ID", "country"),
    "visits": ("PATIENT_ID", "DATE_OF_VISIT", "EDSS"),
    "relapses": ("PATIENT_ID", "DATE_OF_ONSET"),
    "treatments": ("PATIENT_ID", "dmt", "START_DATE", "END_DATE"),
}
