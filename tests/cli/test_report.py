"""`vhdx report`: one page that tells all and loads nothing."""

import base64
import hashlib
import os
import re
import shutil
from html.parser import HTMLParser

import pytest

import fixtures
from tests.support.browser import browser
from tests.support.command_line import contents

pytestmark = pytest.mark.slow


class Outline(HTMLParser):
    """Tags, identifiers and text of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.ids, self.links, self.words = [], [], [], []
        self.open = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        facts = dict(attributes)
        self.tags.append((tag, facts))
        if tag not in {"meta", "br"}:
            self.open.append(tag)
        if "id" in facts:
            self.ids.append(facts["id"])
        if tag == "a":
            self.links.append(facts["href"])

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] not in {"script", "style"}:
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


@pytest.fixture
def page_of(vhdx_command, tmp_path):
    """The page of a leaf, and what the command answered."""

    def make(leaf, *options):
        out = tmp_path / "report.html"
        answer = vhdx_command("report", leaf, "-o", out, "--force", *options)
        return out, out.read_text(encoding="utf-8"), answer

    return make


def test_a_report_shows_layers_map_structures_and_hash(page_of, chain):
    leaf, fixture = chain
    before = contents(leaf.parent)
    _, text, answer = page_of(leaf, "--hash")
    assert answer.code == 0
    assert contents(leaf.parent) == before
    outline = Outline(text)
    assert outline.open == []
    for name in fixture.files:
        assert name in outline.text
    assert fixture.models[fixture.leaf].sha256() in outline.text
    for part in ("parent, found by path", "headers", "regions", "metadata", "locator", "virtual disk size"):
        assert part in outline.text


def test_every_link_of_a_page_leads_somewhere_in_it_and_every_id_is_there_once(page_of, chain):
    _, text, _ = page_of(chain[0])
    outline = Outline(text)
    assert len(set(outline.ids)) == len(outline.ids)
    assert {link.removeprefix("#") for link in outline.links} <= set(outline.ids)


def test_a_page_loads_nothing_and_its_policy_allows_its_own_style_and_script_alone(page_of, chain):
    _, text, _ = page_of(chain[0])
    outline = Outline(text)
    policy = next(facts["content"] for tag, facts in outline.tags if facts.get("http-equiv"))
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    for tag, name in (("style", "style-src"), ("script", "script-src")):
        content = re.search(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)[1]
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{name} 'sha256-{digest}'" in policy
    assert not any({"src", "style", "onclick", "onload"} & set(facts) for _, facts in outline.tags)
    assert not re.search(r"url\(|@import|fetch\(|XMLHttp", text)


def hostile_chain(folder):
    """A chain whose names, creator and locator want to be markup, or to turn the line around."""
    evil = "</script><script>document.title='owned'</script>\u202e<img src=x onerror=alert(1)>\x07"
    base = fixtures.ImageSpec(size=4 << 20, identity=fixtures.Identity.of("evil"), creator=evil)
    name = "</script><script>x\u202e&'\"".replace("/", "") + ".vhdx"
    folder.mkdir()
    fixtures.encode(base).write_to(folder / name)
    locator = fixtures.LocatorSpec.full(f".\\{evil}", base.data_write_guid)
    child = fixtures.ImageSpec(size=4 << 20, identity=fixtures.Identity.of("child"), creator=evil, parent=locator)
    leaf = folder / "<b>leaf\u202e.avhdx"
    fixtures.encode(child).write_to(leaf)
    return leaf, folder / name


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such file names")
def test_nothing_that_a_file_says_becomes_markup(page_of, tmp_path):
    leaf, parent = hostile_chain(tmp_path / "evil")
    _, text, answer = page_of(leaf, "--parent", parent)
    assert answer.code == 0
    outline = Outline(text)
    assert [tag for tag, _ in outline.tags].count("script") == 2
    assert not {"img", "b"} & {tag for tag, _ in outline.tags}
    assert not re.search("[\u202e\x00-\x08\x0b-\x1f]", text)
    assert r"\u202e" in outline.text


def test_no_line_end_of_the_page_itself_is_shown_as_an_escape(page_of, chain):
    assert r"\x0a" not in Outline(page_of(chain[0])[1]).text


def test_a_report_of_an_orphan_says_why_and_shows_what_the_leaf_says(page_of, built):
    leaf, _ = built("orphan")
    _, text, answer = page_of(leaf)
    assert answer.code == 4
    assert "was not found" in answer.err
    outline = Outline(text)
    assert "was not found" in outline.text
    assert "It was looked for here" in outline.text
    assert "CHN-01" in outline.text
    assert "parent_linkage" in outline.text


def test_a_report_of_a_damaged_file_has_the_finding_with_its_evidence(page_of, built):
    leaf, _ = built("headers-bad")
    _, text, answer = page_of(leaf)
    assert answer.code == 3
    outline = Outline(text)
    assert re.search(r"HDR-\d\d", outline.text)
    assert "next" in outline.text


def test_a_report_lists_what_is_lost(page_of, chain):
    leaf, fixture = chain
    base = leaf.parent / fixture.chain[-1]
    with base.open("r+b") as handle:
        handle.truncate(base.stat().st_size - (2 << 20))
    _, text, answer = page_of(leaf, "--hash")
    assert answer.code == 1
    words = Outline(text).text
    assert "2 MiB (2097152 bytes) of the disk cannot be known" in words
    assert "2097152 bytes of the disk at 65011712 cannot be known" in words, "why there is no hash"


def test_a_report_is_not_written_over_anything(vhdx_command, chain, tmp_path):
    leaf, _ = chain
    out = tmp_path / "report.html"
    out.write_text("mine")
    assert vhdx_command("report", leaf, "-o", out).code == 5
    assert out.read_text() == "mine"
    assert vhdx_command("report", leaf, "-o", leaf, "--force").code == 5
    assert vhdx_command("report", leaf, "-o", leaf.parent / "vm.vhdx", "--force").code == 5


def test_a_page_of_256_layers_and_one_of_64_tib_stay_small(page_of, built):
    for name in ("chain-256", "huge-differencing"):
        out, text, answer = page_of(built(name)[0])
        assert answer.code == 0
        assert out.stat().st_size < 3 << 20
        assert Outline(text).open == []


def test_every_fixture_gives_a_page_whatever_is_wrong_with_it(vhdx_command, built, tmp_path):
    for name in fixtures.RECIPES:
        leaf, fixture = built(name)
        search = [option for folder in fixture.search for option in ("--search", leaf.parent / folder)]
        out = tmp_path / "page.html"
        answer = vhdx_command("report", leaf, "-o", out, "--force", *search)
        assert answer.code in {0, 1, 3, 4}, (name, answer)
        assert Outline(out.read_text(encoding="utf-8")).open == [], name
        out.unlink()
        shutil.rmtree(tmp_path / name)


def state(page):
    return page.ask("(({from, to}) => [Number(from), Number(to)])(document.getElementById('map-canvas').dataset)")


def centre_of_map(page):
    page.ask("document.getElementById('map-canvas').scrollIntoView({block: 'center'})")
    box = "(b => [b.left + 64 + (b.width - 64) / 2, b.top + b.height / 2])"
    return page.ask(f"{box}(document.getElementById('map-canvas').getBoundingClientRect())")


def test_the_page_in_a_browser_zooms_moves_and_tells(page_of, chain, tmp_path):
    out, _, _ = page_of(chain[0])
    with browser(tmp_path / "profile") as page:
        page.size(1200, 900)
        page.open(out)
        whole = state(page)
        assert whole == [0, 64 << 20]
        x, y = centre_of_map(page)
        page.mouse("mouseMoved", x, y)
        assert re.match(r"bytes \d+ to \d+ \(.*\): ", page.ask("document.getElementById('map-readout').textContent"))
        page.mouse("mouseWheel", x, y, deltaX=0, deltaY=-100)
        page.ask("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        wheeled = state(page)
        assert wheeled[1] - wheeled[0] < whole[1]
        page.ask("document.querySelector('[data-do=in]').click()")
        clicked = state(page)
        assert clicked[1] - clicked[0] < wheeled[1] - wheeled[0]
        page.ask("document.getElementById('map-canvas').focus()")
        page.key("ArrowRight")
        assert state(page)[0] > clicked[0]
        page.key("0")
        assert state(page) == whole
        assert page.complaints == []
        assert [url for url in page.requests if not url.startswith("file:")] == []


def test_the_page_tells_the_same_without_javascript_and_on_paper(page_of, chain, tmp_path):
    out, _, _ = page_of(chain[0])
    with browser(tmp_path / "profile") as page:
        page.without_script()
        page.open(out)
        words = page.words()
        assert "The picture needs JavaScript" in words
        assert "What the disk is made of" in words
        assert "Zoom in" not in words
        page.pdf(tmp_path / "page.pdf")
        assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize("width", [360, 1200])
def test_the_page_fits_narrow_and_wide_windows(page_of, chain, tmp_path, width):
    out, _, _ = page_of(chain[0])
    with browser(tmp_path / "profile") as page:
        page.size(width, 900)
        page.open(out)
        assert page.ask("document.documentElement.scrollWidth") <= width
        assert page.complaints == []


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such file names")
def test_a_hostile_chain_runs_nothing_in_a_browser(page_of, tmp_path):
    leaf, parent = hostile_chain(tmp_path / "evil")
    out, _, _ = page_of(leaf, "--parent", parent)
    with browser(tmp_path / "profile") as page:
        page.open(out)
        assert page.ask("document.title") != "owned"
        assert page.complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(page_of, built, tmp_path, scheme):
    out, _, _ = page_of(built("log-live")[0])
    with browser(tmp_path / "profile") as page:
        page.media(scheme=scheme)
        page.open(out)
        assert page.ask(CONTRAST) == []


CONTRAST = """
(() => {
  const parse = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (rgb) => rgb.slice(0, 3).map(c => c / 255)
    .map(c => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, n) => sum + c * [0.2126, 0.7152, 0.0722][n], 0);
  const ground = (node) => {
    for (; node; node = node.parentElement) {
      const colour = parse(getComputedStyle(node).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  return [...document.querySelectorAll("h1, h2, h3, h4, p, dt, dd, th, td, a, button, summary, caption, .badge, code")]
    .filter(node => node.textContent.trim())
    .map(node => {
      const pair = [light(parse(getComputedStyle(node).color)), light(ground(node))].sort((a, b) => b - a);
      return [node.className || node.tagName, (pair[0] + 0.05) / (pair[1] + 0.05)];
    })
    .filter(([, contrast]) => contrast < 4.5);
})()
"""


def test_notes_of_one_code_are_one_folded_item(page_of, chain):
    _, page, _ = page_of(chain[0])
    items = re.findall(r'<(?:details|article) class="finding note">.*?<code>([A-Z]{3}-[0-9]+)</code>', page, re.DOTALL)
    assert items
    assert len(items) == len(set(items))


def test_what_helps_is_on_the_first_screen_with_its_command(page_of, chain):
    leaf, _ = chain
    (leaf.parent / "vm.vhdx").unlink()
    _, page, answer = page_of(leaf)
    assert answer.code == 4
    head = page.partition("<header>")[2].partition("</header>")[0]
    first = re.search(r'<ol class="urgent">(.*?)</ol>', head, re.DOTALL)[1]
    assert "<code>vhdx scan" in first
    assert head.index("urgent") < head.index('class="verdict lost"')
    assert "<details><summary>" in head, "the places that were looked at are folded"


def test_each_file_has_its_state_and_a_folder_is_called_one(vhdx_command, chain):
    leaf, fixture = chain
    page = vhdx_command("check", leaf.parent, "--format", "html").out
    table = page.partition("State of each file")[2].partition("</table>")[0]
    assert all(name in table for name in fixture.files)
    assert "<dt>folder</dt>" in page
