"""The verdict in JUnit's XML: a test case for each threshold, and one for the generator itself."""

from __future__ import annotations

from xml.etree import ElementTree

from c100k_loadgen.results import Results
from c100k_loadgen.thresholds import Judgement, describe

_SUITE = "c100k-loadgen"


def document(results: Results, judgement: Judgement) -> bytes:
    """The test suite of one run, in UTF-8."""
    suite = ElementTree.Element(
        "testsuite",
        name=f"{_SUITE}.{results.run_id}",
        tests=str(len(judgement.thresholds) + 1),
        failures=str(sum(not each.passed for each in judgement.thresholds)),
        errors=str(int(bool(results.doubts))),
        time=str(results.hold_s),
    )
    valid = ElementTree.SubElement(suite, "testcase", classname=_SUITE, name="the generator kept its own rules")
    if results.doubts:
        ElementTree.SubElement(valid, "error", message="; ".join(results.doubts))
    for each in judgement.thresholds:
        case = ElementTree.SubElement(suite, "testcase", classname=_SUITE, name=each.threshold)
        if not each.passed:
            ElementTree.SubElement(case, "failure", message=describe(each))
    ElementTree.indent(suite)
    return bytes(ElementTree.tostring(suite, encoding="utf-8", xml_declaration=True))
