"""`junit.xml`: one test case a rule. Broken SLA rules are failures, broken validity rules errors."""

from __future__ import annotations

from xml.etree import ElementTree

from c100k.record import Rule, Run
from c100k.rules import explain


def document(run: Run) -> bytes:
    """The test suite of one run as XML in UTF-8."""
    broken = [not rule.passed for rule in run.rules]
    errors = [not rule.passed for rule in run.validity]
    suite = ElementTree.Element(
        "testsuite",
        name=f"c100k.{run.scenario}",
        tests=str(len(broken) + len(errors) + 1),
        failures=str(sum(broken)),
        errors=str(sum(errors) + (run.verdict == "INVALID")),
    )
    verdict = ElementTree.SubElement(suite, "testcase", classname=f"c100k.{run.scenario}", name="the run is valid")
    if run.verdict == "INVALID":
        ElementTree.SubElement(verdict, "error", message="; ".join(run.reasons))
    for kind, rules in (("failure", run.rules), ("error", run.validity)):
        for rule in rules:
            _case(suite, run.scenario, kind, rule)
    ElementTree.indent(suite)
    return bytes(ElementTree.tostring(suite, encoding="utf-8", xml_declaration=True))


def _case(suite: ElementTree.Element, scenario: str, kind: str, rule: Rule) -> None:
    case = ElementTree.SubElement(suite, "testcase", classname=f"c100k.{scenario}", name=rule.name)
    if not rule.passed:
        ElementTree.SubElement(case, kind, message=explain(rule))
