"""Words by which files, columns and values of registries are recognized."""

import re

from ms_pfl.names import near

#: Parts of the names of files, by table.
FILE_WORDS = {
    "patients": ("patient", "personal", "demograph", "person", "basic", "paciente", "stamm"),
    "visits": ("visit", "clinical", "edss", "assess", "exam", "visita", "besuch", "consult"),
    "relapses": ("relapse", "episode", "attack", "schub", "poussee", "brote", "ricadut", "surto"),
    "treatments": ("treat", "trt", "dmt", "drug", "therap", "medic", "behandl", "terap", "tratam"),
}
_ID = (
    "patientid", "patid", "patientno", "patientnumber", "patientcode", "subjectid", "subject",
    "usubjid", "id", "pid", "idpatient", "idpaciente", "patient", "paciente", "pat", "patnr",
    "patientnr",
)  # fmt: skip
#: Near spellings of column names, by table and column of the contract, the surest first.
COLUMN_WORDS: dict[str, dict[str, tuple[str, ...]]] = {
    "patients": {
        "PATIENT_ID": _ID,
        "country": ("country", "land", "pays", "pais", "paese", "nation"),
        "BIRTH_DATE": (
            "birthdate", "dateofbirth", "dob", "birth", "birthyear", "yearofbirth", "birthday",
            "geburtsdatum", "datedenaissance", "fechadenacimiento", "datadinascita",
            "datadenascimento", "geboortedatum",
        ),
        "gender": ("gender", "sex", "sexe", "sexo", "sesso", "geschlecht", "geslacht"),
        "clinic_code": ("cliniccode", "clinic", "center", "centre", "site", "centro", "zentrum"),
        "MS_ONSET_DATE": (
            "msonsetdate", "msonset", "onsetdate", "dateofonset", "dateofmsonset", "onset",
            "firstsymptoms", "diseaseonset", "krankheitsbeginn", "debutdelamaladie",
        ),
        "MS_DIAGNOSIS_DATE": (
            "msdiagnosisdate", "diagnosisdate", "dateofdiagnosis", "msdiagnosis", "diagnosedatum",
        ),
        "EDUCATION": ("education", "educationyears", "schooling"),
    },
    "visits": {
        "PATIENT_ID": _ID,
        "DATE_OF_VISIT": (
            "dateofvisit", "visitdate", "date", "edssdate", "dateedss", "assessmentdate", "datum",
            "dateofassessment", "examdate", "besuchsdatum", "fecha", "data", "visitdat",
        ),
        "EDSS": ("edss", "edssscore", "edsstotal", "edssentered", "totaledss", "edsswert"),
        "MSCOURSE_AT_VISIT": ("mscourseatvisit", "mscourse", "course", "diseasecourse"),
    },
    "relapses": {
        "PATIENT_ID": _ID,
        "DATE_OF_ONSET": (
            "dateofonset", "relapsedate", "onsetdate", "date", "dateofrelapse", "onset", "relapse",
            "startdate", "datum", "fecha", "data",
        ),
        "severity": ("severity", "relapseseverity"),
    },
    "treatments": {
        "PATIENT_ID": _ID,
        "dmt": (
            "dmt", "dm", "drug", "treatment", "drugname", "treatmentname", "medication",
            "genericname", "therapy", "medikament", "traitement", "tratamiento", "farmaco", "atc",
            "atccode", "name",
        ),
        "START_DATE": (
            "startdate", "start", "onsetdate", "dateofstart", "begindate", "begin", "from",
            "treatmentstart", "beginn", "datededebut", "fechadeinicio", "datainizio",
        ),
        "END_DATE": (
            "enddate", "end", "stopdate", "stop", "dateofend", "to", "treatmentend", "ende",
            "datedefin", "fechadefin", "datafine",
        ),
    },
}  # fmt: skip
#: Words for a missing value that no contract needs to know, in the form of :func:`folded`.
MISSING_WORDS = frozenset(
    [
        *("?", "??", "???", "-", "--", "---", "/", "x", "xx", "xxx", "(null)", "#null!"),
        *("nd", "n/d", "n.d.", "nk", "n/k", "unk", "u/k", "ukn", "uk", "k.a.", "ka", "na.", "n.a."),
        *("nr", "n/r", "nan", "unknown", "missing", "not known", "not done", "not available"),
        *("not recorded", "not assessed", "no data", "inconnu", "unbekannt", "keine angabe"),
        *("desconocido", "sconosciuto", "desconhecido", "onbekend"),
    ]
)
#: Numbers that stand for a missing value where scores lie far below them.
MISSING_NUMBERS = frozenset(
    [
        *("9", "99", "999", "9999", "-1", "-9", "-99", "-999", "-9999"),
        *("8", "88", "888", "98", "998", "7", "77", "97"),
    ]
)
#: Codes of columns in words of six languages, in the form of :func:`ms_pfl.names.near`.
_SEX = {
    "F": "woman women femme feminin femminile mujer femenino frau weiblich donna femmina mulher "
    "feminino vrouw female",
    "M": "man men homme masculin maschile hombre varon masculino mann mannlich uomo maschio homem "
    "male",
}
_FLAGS = {
    "1": "yes y ja j oui o si s sim true t present",
    "0": "no n nein non nao nee false f absent",
}
_COURSES = {
    "CIS": "cis clinicallyisolatedsyndrome isolatedsyndrome",
    "RR": "rr rrms relapsingremitting relapsingremittingms relapsing",
    "SP": "sp spms secondaryprogressive secondaryprogressivems secondaryprogression",
    "PP": "pp ppms primaryprogressive primaryprogressivems",
    "PR": "pr prms progressiverelapsing progressiverelapsingms relapsingprogressive",
}


def bare(name: str) -> str:
    """Return a name by which columns are recognized: letters and digits alone.

    >>> bare("Date of birth"), bare("PATIENT_ID"), bare("EDSS (entered)")
    ('dateofbirth', 'patientid', 'edssentered')
    """
    return re.sub(r"[\W_]+", "", near(name))


def code_of(column: str, text: str) -> str | None:
    """Return the code that a word stands for; None where no language says so."""
    words = _SEX if column == "gender" else _COURSES if "COURSE" in column else _FLAGS
    key = bare(text)
    return next((code for code, known in words.items() if key in known.split()), None)
