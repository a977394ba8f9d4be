"""The rules of ingestion: what each finds, and what is done about it.

``docs/ingest.md`` lists them with an example each.
"""

from dataclasses import dataclass

STOPPED = "stopped"
DROPPED = "dropped row"
MISSING = "set to missing"
KEPT_ONE = "kept one"
KEPT = "kept"


@dataclass(frozen=True)
class Rule:
    """What one rule finds.

    Attributes:
        meaning: what the counted rows or values are, for the console.
        action: what is done; ``stopped`` ends the run.
        quiet: a remark on how a file was read, which the console leaves to the report.
    """

    meaning: str
    action: str
    quiet: bool = False


RULES: dict[str, Rule] = {
    # a file, or its form
    "folder_absent": Rule("folders that are not there", STOPPED),
    "table_absent": Rule("tables that are not there", STOPPED),
    "table_twice": Rule("tables in two files", STOPPED),
    "file_unreadable": Rule("files that cannot be read", STOPPED),
    "not_utf8": Rule("files in another encoding", STOPPED),
    "encoding_contradicted": Rule("files that are not in the encoding that is set", STOPPED),
    "nul_byte": Rule("files with NUL bytes", STOPPED),
    "no_header": Rule("files without column names", STOPPED),
    "header_short": Rule("headers one name short", STOPPED),
    "ragged_row": Rule("rows with more or fewer cells than the header", STOPPED),
    "open_quote": Rule("quotation marks that are never closed", STOPPED),
    "row_in_a_cell": Rule("cells that have swallowed rows", STOPPED),
    "column_absent": Rule("columns that are not there", STOPPED),
    "column_twice": Rule("columns that stand twice", STOPPED),
    "constant_beside_column": Rule("constants of columns that are there", STOPPED),
    "no_row": Rule("tables without a row", STOPPED),
    # a value
    "value_absent": Rule("required values that are missing", STOPPED),
    "not_a_date": Rule("values that are no date", STOPPED),
    "day_in_doubt": Rule("times in a time zone", STOPPED),
    "date_too_early": Rule("dates too early to believe", STOPPED),
    "not_a_number": Rule("values that are no number", STOPPED),
    "edss_not_on_scale": Rule("EDSS scores that do not exist", STOPPED),
    "out_of_range": Rule("numbers outside their limits", STOPPED),
    "not_a_flag": Rule("values that are neither 0 nor 1", STOPPED),
    "not_a_code": Rule("codes that are unknown", STOPPED),
    "text_too_long": Rule("names too long for a name", STOPPED),
    "spreadsheet_value": Rule("values that a spreadsheet has spoilt", STOPPED),
    # rows against each other
    "patient_twice": Rule("patients in two rows that differ", STOPPED),
    "patient_in_doubt": Rule("rows of an id that several patients have", STOPPED),
    "other_country": Rule("rows of another country than the patient's", STOPPED),
    "two_clinics": Rule("visits at two clinics on one day", STOPPED),
    "patient_unknown": Rule("rows of a patient who is not in the patients table", STOPPED),
    "before_birth": Rule("dates before the birth", STOPPED),
    # repaired, dropped, or kept and counted
    "empty_row": Rule("rows without any value", DROPPED),
    "duplicate_row": Rule("rows that repeat an earlier one", KEPT_ONE),
    "undated_row": Rule("relapses and treatments without a date", DROPPED),
    "future_row": Rule("rows dated in the future", DROPPED),
    "future_value": Rule("values dated in the future", MISSING),
    "end_before_start": Rule("treatments that end before they start", DROPPED),
    "no_edss": Rule("visits without an EDSS, which give no episode", KEPT),
    "same_day_edss": Rule("visits on a day with several EDSS", "kept, the lowest counts"),
    "visit_before_onset": Rule("visits before the MS onset", "kept, onset unknown then"),
    "relapse_before_onset": Rule("relapses before the MS onset", KEPT),
    "diagnosis_before_onset": Rule("diagnoses before the MS onset", KEPT),
    "patient_without_visit": Rule("patients without a visit, who give no episode", KEPT),
    "country_spelling": Rule("countries whose names look alike, each a client of its own", KEPT),
    "country_not_named": Rule("countries called as a missing value is", KEPT),
    # how a file was read
    "file_not_read": Rule("files that are no table of the registry", "not read", quiet=True),
    "no_table": Rule("tables that do not exist, by ingest.files", "no row", quiet=True),
    "encoding": Rule("files in another encoding than UTF-8", "read so", quiet=True),
    "workbook": Rule("sheets of a workbook", "read", quiet=True),
    "separator": Rule("files not separated by commas", "read so", quiet=True),
    "decimal_comma": Rule("columns with decimal commas", "read as decimal points", quiet=True),
    "column_mapped": Rule("columns under another name", "read", quiet=True),
    "constant": Rule("columns with one value in every row", "added", quiet=True),
    "column_not_read": Rule("columns outside the contract", "not read", quiet=True),
    "text_normalized": Rule("names in another form of Unicode", "read", quiet=True),
    "value_mapped": Rule("values under another spelling", "read", quiet=True),
    "value_label": Rule("values that have a label in the file", "read as the label", quiet=True),
    "declared_missing": Rule("values that the file declares missing", MISSING, quiet=True),
    "missing_word": Rule("words for a missing value", MISSING, quiet=True),
    "counted_day": Rule("dates told as days from another one", "counted", quiet=True),
    "partial_date": Rule("dates of which the day is not known", "read as the middle", quiet=True),
    "time_zone": Rule("times with a time zone", "read as a day", quiet=True),
    "treatment_mapped": Rule("treatments under another spelling", "read", quiet=True),
    "map_unused": Rule("entries of a map that match no cell", "no effect", quiet=True),
    # The cohort warns of these two itself.
    "treatment_unknown": Rule("treatments in no class", "no treatment", quiet=True),
    "treatment_blinded": Rule("drugs of a blinded trial", "no treatment", quiet=True),
}

#: Of a custom table, which :mod:`ms_pfl.cohort.custom` reads.
CUSTOM_RULES: dict[str, Rule] = {
    "unlabelled_row": Rule("rows without a label", DROPPED),
    "label_left_out": Rule("rows with a label that is left out", DROPPED),
    "percentage": Rule("columns of percentages", "read without the sign", quiet=True),
}
#: All of them.
ALL_RULES = RULES | CUSTOM_RULES
