"""Reports as files hold what was found, whatever text a target hands out."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from refimpl.oracle.diagnosis.cause import Cause
from refimpl.oracle.findings import Finding, Report, Smallest
from refimpl.oracle.reports import escaped, files, heat_map
from refimpl.oracle.runs.foreign_outputs import verify_recorded
from refimpl.oracle.runs.verify import verify
from refimpl.oracle.targets.sessions import TargetError
from tests.oracle.runs.test_verify import GOOD_SILU, cli

NASTY = '</pre></failure>]]>&amp;<script>alert("1")</script>|`x`\x00\x1b[31m\x85\ud800\uffff\r\n*é*'
VOID = {"meta", "br", "path", "rect"}


class Page(HTMLParser):
    """A page that was closed properly, and everything in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] != ["style"]:
            self.text.append(data)

    @property
    def words(self) -> str:
        return " ".join("".join(self.text).split())


@pytest.fixture(scope="module")
def reports(tmp_path_factory) -> list[Report]:
    folder = tmp_path_factory.mktemp("targets")
    mine = folder / "mine.py"
    mine.write_text(
        "import numpy as np\n"
        "def silu(x):\n    return x / (1 + np.exp(x))\n"
        "def gelu(x):\n    raise NotImplementedError\n"
        "def sigmoid(z):\n    raise ValueError('<i>no</i>')\n"
        "def rms_norm(x, gain, eps):\n"
        "    square = np.mean(x * x, axis=-1, keepdims=True, dtype=np.float64)\n"
        "    return ((1 + gain) * x / np.sqrt(square + eps)).astype(x.dtype)\n"
    )
    good = folder / "good.py"
    good.write_text("import numpy as np\n" + GOOD_SILU)
    return verify(str(mine), str(good), profile="quick")


def nasty_report() -> Report:
    cause = Cause("mistake", NASTY, NASTY, f"-\n+\n-{NASTY}\n+{NASTY}")
    finding = Finding(NASTY, NASTY, 3, 1, np.inf, "deviates", NASTY, NASTY, NASTY, [cause])
    finding.ratios = np.array([np.inf])
    finding.smallest = Smallest(0, NASTY, NASTY, NASTY, NASTY)
    finding.step = f"{NASTY}\n{NASTY}"
    return Report(NASTY, NASTY, [finding])


def test_the_worst_failing_case_keeps_its_ratios_and_json_has_none(reports):
    found = {finding.op: finding for finding in reports[0].findings}
    assert found["silu"].ratios.max() == found["silu"].worst
    assert found["sigmoid"].ratios is None
    assert reports[1].findings[0].ratios is None
    assert "ratios" not in found["silu"].as_json()


def test_a_finding_is_read_back_from_the_json_report_as_it_was(reports):
    nasty = nasty_report().findings[0]
    nasty.variance, nasty.bias, nasty.only = 0.5, np.inf, ("C > 1",)
    nasty.causes.append(replace(nasty.causes[0], confirmed=24))
    for finding in (*reports[0].findings, nasty):
        again = Finding.read(json.loads(json.dumps(finding.as_json(), allow_nan=False)))
        assert again == finding
        assert again.as_json() == finding.as_json()


def test_what_the_json_report_says_of_a_cause_has_five_entries(reports):
    (silu,) = (finding for finding in reports[0].findings if finding.op == "silu")
    (cause,) = silu.as_json()["causes"]
    assert [*cause] == ["kind", "id", "says", "diff", "confirmed"]
    assert cause["id"] == "silu/sign"
    assert "+    return x * sigmoid(-x)" in cause["diff"].splitlines()


def test_junit_has_a_suite_a_target_and_a_case_an_operation(reports):
    root = ET.fromstring(files.junit_xml(reports))
    mine, good = root.findall("testsuite")
    assert (mine.get("tests"), mine.get("failures"), mine.get("skipped")) == ("4", "2", "1")
    assert (good.get("tests"), good.get("failures"), good.get("skipped")) == ("1", "0", "0")
    assert root.get("tests") == "5"
    cases = {case.get("name"): case for case in root.iter("testcase")}
    failure = mine.find("testcase[@name='silu/float32']/failure")
    assert "silu: result" in failure.get("message")
    assert "looks like silu/sign" in failure.text
    assert "again: refimpl replay silu/float32/" in failure.text
    assert "smallest input, 1 number:" in failure.text
    assert "silu(x=np.float32([" in failure.text
    assert "silu(x=np.float32([" in Page(files.page(reports)).words
    assert cases["sigmoid/float32"].find("failure").get("type") == "crashes"
    assert cases["gelu/float32"].find("skipped") is not None
    assert cases["rms_norm/float32"].find("failure") is None
    assert "dialect" in cases["rms_norm/float32"].find("system-out").text


def test_an_allowed_deviation_is_no_failure(reports):
    allowed = Report("mine", "", reports[0].findings, frozenset({"silu/sign"}))
    root = ET.fromstring(files.junit_xml([allowed]))
    assert root.get("failures") == "1"
    assert "looks like silu/sign" in root.find(".//testcase[@name='silu/float32']/system-out").text
    assert "allowed" in files.page([allowed])
    assert "allowed" in files.markdown([allowed])


def test_what_an_interruption_left_is_no_success(reports, tmp_path):
    unasked = Finding("softmax", "float32")
    stopped = [Report("mine", "", [*reports[1].findings, unasked])]
    junit, html = tmp_path / "r.xml", tmp_path / "r.html"
    files.write(stopped, junit=junit, html=html, complete=False)
    root = ET.parse(junit).getroot()
    assert root.get("errors") == "1"
    assert not [case for case in root.iter("testcase") if "softmax" in case.get("name")]
    assert "stopped before its end" in html.read_text()
    assert "softmax" not in html.read_text()
    assert "stopped before its end" in files.markdown(stopped, complete=False)
    files.write([Report("mine")], html=html)
    assert "nothing was verified" in html.read_text()


def test_the_page_says_the_verdict_first_and_all_that_is_known(reports):
    page = Page(files.page(reports))
    assert page.words.index("1 of 2 targets deviate") < page.words.index("operation")
    for what in (
        "silu: result[",
        r"f(x) = x\,\sigma(x)",
        "Looks like silu/sign",
        "+ return x * sigmoid(-x)",
        "refimpl replay silu/float32/",
        "The failing input",
        "elements are outside",
        "Conforms to dialect rms_norm/gain-plus-one",
        "raised ValueError: <i>no</i>",
    ):
        assert what in page.words
    assert [tag for tag, _ in page.tags].count("svg") == 2  # silu and rms_norm
    anchors = {attributes.get("id") for _, attributes in page.tags}
    links = [attributes["href"] for tag, attributes in page.tags if tag == "a"]
    assert len(links) == 3
    assert all(link[0] == "#" and link[1:] in anchors for link in links)


def test_the_page_needs_no_network_and_knows_light_and_dark(reports):
    text = files.page(reports)
    assert not {"script", "link", "img", "iframe"} & {tag for tag, _ in Page(text).tags}
    assert not re.search(r"\b(src|srcset)=|url\(|@import|https?:", text)
    assert "default-src 'none'" in text
    assert "prefers-color-scheme: dark" in text


def test_any_text_makes_valid_xml_html_and_markdown(tmp_path, monkeypatch):
    summary = tmp_path / "summary.md"
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    junit, html = tmp_path / "r.xml", tmp_path / "r.html"
    files.write([nasty_report()], junit=junit, html=html)
    root = ET.parse(junit).getroot()
    assert 'alert("1")' in root.find(".//failure").text
    page = Page(html.read_text(encoding="utf-8"))
    assert "script" not in {tag for tag, _ in page.tags}
    assert '</failure>]]>&amp;<script>alert("1")</script>' in page.words
    text = summary.read_text(encoding="utf-8")
    assert text.startswith("before\n### refimpl")
    assert "<script" not in text
    for written in (text, html.read_text(encoding="utf-8"), junit.read_text(encoding="utf-8")):
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ufffe\uffff]", written)
    (row,) = [line for line in text.splitlines() if line.startswith("| ") and "inf" in line]
    assert row.count("|") == 3


def test_a_golden_vector_leaves_its_input_out(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        "import json, sys\n"
        "cases = json.load(open(sys.argv[1]))['cases']\n"
        "ours = {c['id']: {'result': c['inputs']['x']} for c in cases if c['op'] == 'silu'}\n"
        "json.dump({'outputs': ours}, open(sys.argv[2], 'w'))\n"
    )
    reports = verify_recorded(command=f"python3 {program} {{in}} {{out}}", ops=["silu"])
    page = Page(files.page(reports))
    assert "elements are outside" in page.words
    assert "The failing input" not in page.words


@pytest.mark.parametrize("shape", [(), (1,), (7,), (500,), (3, 5), (2, 3, 4, 5), (40, 30, 1000)])
def test_a_heat_map_shows_the_worst_of_any_shape(shape):
    ratios = np.full(shape, 0.05)
    ratios.ravel()[-1] = 5000.0
    blocks, _ = heat_map.pooled(ratios)
    assert blocks.max() == blocks[-1, -1] == 5000
    assert blocks.shape[0] <= heat_map.ROWS
    assert blocks.shape[1] <= heat_map.COLUMNS
    svg = "\n".join(heat_map.heat_map(ratios))
    assert f"1 of {ratios.size} elements are outside" in svg
    assert len(svg) < 100_000
    assert 'class="l4"' in svg


def test_every_level_has_its_colour_in_light_and_dark():
    ratios = np.array([0.0, 0.1, 1.0, 1.1, 11.0, 1001.0, np.inf])
    svg = "\n".join(heat_map.heat_map(ratios))
    assert svg.count("<path") == len(heat_map.LABELS)
    for level, label in enumerate(heat_map.LABELS):
        assert files.STYLE.count(f"--l{level}:") == 2
        assert f'<i class="l{level}">■</i> {escaped.esc(label)}' in svg


def test_the_command_writes_them_all(tmp_path, monkeypatch):
    bad = tmp_path / "bad.py"
    bad.write_text("def silu(x):\n    return x\n")
    junit, html, summary = (tmp_path / name for name in ("r.xml", "r.html", "summary.md"))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    arguments = ("--junit", str(junit), "--html", str(html), "--profile", "quick")
    result = cli("verify", str(bad), *arguments)
    assert result.returncode == 1
    assert result.stderr == ""
    assert ET.parse(junit).getroot().get("failures") == "1"
    assert f"<h1>{escaped.esc(bad)} deviates</h1>" in html.read_text(encoding="utf-8")
    assert "| silu | **deviates** (" in summary.read_text(encoding="utf-8")
    absent = cli("verify", str(bad), "--html", str(tmp_path / "no" / "r.html"))
    assert absent.returncode == 4
    assert "no such folder" in absent.stderr


def test_a_summary_that_cannot_be_written_changes_no_verdict(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path))
    files.write([nasty_report()])
    assert "no step summary" in capsys.readouterr().err


def test_a_step_summary_stays_small():
    findings = [Finding(f"op{i}", "float32", 1, status="crashes", says="x") for i in range(100)]
    text = files.markdown([Report("mine", "", findings)])
    assert text.count("<details>") == files.EXPLAINED
    assert "70 more" in text
    assert "op99" in text


def test_a_case_that_is_not_found_leaves_the_input_out(monkeypatch):
    def nowhere(case_id, only=()):
        raise TargetError(case_id)

    monkeypatch.setattr(files, "find_case", nowhere)
    finding = Finding("silu", "float32", 1, 0, 9.0, "deviates", "x", "?", "refimpl replay ? mine")
    assert "failing input" not in files.page([Report("mine", "", [finding])])
