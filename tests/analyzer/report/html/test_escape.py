"""Markup: whatever a file says is text in it, and nothing else."""

import json
import re
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from analyzer.report.findings.documents import junit_xml, sarif_log
from analyzer.report.html.escape import Html, element, facts, prose, table, text
from tests.support.checks import FOLDER, HOSTILE, finding, subject
from vhdx.findings import Severity

ANYTHING = st.text(alphabet=st.characters(), max_size=40) | st.just(HOSTILE)
UNSHOWABLE = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufeff]")


class Parsed(HTMLParser):
    def __init__(self, markup):
        super().__init__()
        self.tags, self.values, self.words = [], [], ""
        self.feed(markup)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.values += [value for _, value in attributes]

    def handle_data(self, data):
        self.words += data


@given(ANYTHING)
def test_text_stays_text_in_content_and_attributes(words):
    markup = element("p", words, title=words)
    parsed = Parsed(markup)
    assert parsed.tags == ["p"]
    assert parsed.words == parsed.values[0]
    assert not UNSHOWABLE.search(markup)
    markup.encode()


@given(ANYTHING, ANYTHING)
def test_tables_and_lists_of_facts_have_no_tags_but_their_own(name, value):
    own = {"div", "table", "caption", "thead", "tbody", "tr", "th", "td", "dl", "dt", "dd", "code"}
    markup = table(name, [name, value], [[name, value]]) + facts([(name, value)]) + prose(value)
    assert set(Parsed(markup).tags) <= own


def test_markup_is_taken_as_it_is_and_once_alone():
    assert text(element("b", "<")) == "<b>&lt;</b>"
    assert isinstance(text("x"), Html)
    assert element("meta", charset="utf-8") == '<meta charset="utf-8">'
    assert element("p", class_="a", aria_label="b", title=None) == '<p class="a" aria-label="b"></p>'
    assert prose("see `vhdx map`") == "see <code>vhdx map</code>"


@given(ANYTHING, ANYTHING)
def test_sarif_and_junit_can_be_read_whatever_a_finding_says(message, name):
    path = FOLDER / (name.replace("/", "").replace("\0", "") or "x")
    try:
        bytes(path)
    except UnicodeEncodeError:  # no file can have that name
        path = FOLDER / "x"
    checked = [subject(finding(message=message, expected=message, found=name, path=path), path=path)]
    json.dumps(sarif_log(checked, root=FOLDER, version="1"), ensure_ascii=False).encode()
    ET.fromstring(junit_xml(checked, fail_on=Severity.NOTE).encode())
