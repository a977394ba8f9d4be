"""The form in which names of drugs are compared."""

from __future__ import annotations

from ms_pfl.cohort.parameters import normalize
from ms_pfl.cohort.treatments import package_classes
from ms_pfl.deployment.settings import read_parameters
from site_examples import PROJECT


def test_normalize():
    assert normalize(" IFN-β  1a_(Avonex30)") == "ifn beta 1 a avonex 30"


def test_the_drugs_of_the_package_are_those_of_the_base_configuration():

    assert package_classes() == read_parameters(str(PROJECT), "").cohort.treatments
