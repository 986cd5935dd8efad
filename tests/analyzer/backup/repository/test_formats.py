"""Names, indexes and documents: what is written is read, and what was changed is refused."""

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.backup.errors import BadChunkError, BadDocumentError, NoSuchPointError, NotRepositoryError, PointNameError
from analyzer.backup.repository.codec import Codec
from analyzer.backup.repository.index import parse_index
from analyzer.backup.repository.manifest import (
    build_document,
    build_manifest,
    parse_document,
    parse_manifest,
)
from analyzer.backup.repository.names import is_name, name_for, name_in, require_name, stored_name
from analyzer.backup.repository.repository import Settings, init_repository, open_repository
from tests.analyzer.backup.helpers import KIB, MIB, MemoryPlace, back_up, index_of, new_repository
from tests.support.catalogue import fixture_of
from tests.support.sources import chain_of


@st.composite
def indexes(draw):
    chunk = draw(st.sampled_from([64 * KIB, MIB, 16 * MIB]))
    size = draw(st.integers(1, 40 * chunk))
    count = -(-size // chunk)
    ids = draw(st.binary(min_size=32 * count, max_size=32 * count))
    return index_of(chunk, size, np.frombuffer(ids, np.uint8).reshape(count, 32))


@given(indexes())
def test_an_index_is_read_as_it_was_written(index):
    read = parse_index(bytes(index.document))
    assert (read.chunk_size, read.size) == (index.chunk_size, index.size)
    assert np.array_equal(read.ids, index.ids)


@given(indexes(), st.data())
def test_an_index_cut_or_changed_outside_its_ids_is_refused(index, data):
    whole = bytes(index.document)
    with pytest.raises(BadDocumentError):
        parse_index(whole[: data.draw(st.integers(0, len(whole) - 1))])
    items = range(64 + 8, 64 + 40 * len(index.ids))
    at = data.draw(st.integers(0, len(whole) - 1).filter(lambda at: not (at in items and (at - 64) % 40 >= 8)))
    changed = bytearray(whole)
    changed[at] ^= data.draw(st.integers(1, 255))
    try:
        read = parse_index(bytes(changed))
    except BadDocumentError:
        return
    assert read.size != index.size  # the last end is the disk's size, which the manifest tells as well


@pytest.mark.parametrize(
    "text",
    [
        "..",
        ".x",
        "",
        "a/b",
        "a\\b",
        "CON",
        "nul.txt",
        "lpt1",
        "a\n",
        "a" * 101,
        "ü" * 40,
        "a\u202eb",
        "a b",
        "ü/x",
        "\ud800",
        "x.",
        "-x",
    ],
)
def test_hostile_names_are_refused_everywhere(text):
    assert not is_name(text)
    with pytest.raises(PointNameError):
        require_name(text)
    with pytest.raises(NoSuchPointError):
        new_repository().manifest(text)


@pytest.mark.parametrize("text", ["Büro-Server", "Бухгалтерия", "会計", "บัญชี", "a=FCb", "x"])
def test_a_name_may_have_letters_of_any_script_and_its_objects_are_called_in_ascii(text):
    assert is_name(text) == ("=" not in text)
    stored = stored_name(text)
    assert stored.isascii()
    assert name_in(stored) == (text if "=" not in text else None)


def test_composed_and_decomposed_accents_are_one_name():
    assert require_name("Bu\u0308ro") == "B\u00fcro"
    assert name_in("Bu=CC=88ro") is None


def test_of_a_checkpoints_guid_the_first_digits_are_in_the_name():
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    name = name_for("web_3C519EC2-8007-4A1F-AA5E-3B5DD8558EEA", moment, lambda _: False)
    assert name == "web_3C519EC2-20260101T000000Z"


@given(st.text(max_size=300))
def test_every_file_name_gives_a_name_of_its_own(stem):
    taken = set()
    moment = datetime.now(UTC)
    for _ in range(3):
        name = name_for(stem, moment, taken.__contains__)
        assert is_name(name)
        assert name not in taken
        taken.add(name)


def test_a_manifest_is_read_as_it_was_written():
    fixture = fixture_of("chain-3")
    repository = new_repository()
    (manifest,) = back_up(repository, chain_of([fixture.files[path] for path in fixture.chain[::-1]]))
    assert parse_manifest(build_manifest(manifest)) == manifest
    assert repository.manifest(manifest.name) == manifest


def test_a_manifest_under_another_name_is_refused():
    fixture = fixture_of("empty")
    repository = new_repository()
    (manifest,) = back_up(repository, chain_of([fixture.files[fixture.leaf]]))
    repository.place.objects["points/other.json"] = repository.place.objects[f"points/{manifest.name}.json"]
    manifests, damaged = repository.survey()
    assert [one.name for one in manifests] == [manifest.name]
    assert list(damaged) == ["other"]


@given(st.dictionaries(st.text(), st.integers() | st.text() | st.none(), max_size=5), st.data())
def test_a_document_is_read_as_it_was_written_and_no_byte_of_it_may_change(members, data):
    members.pop("sha256_of_this_document", None)
    document = build_document(members)
    assert parse_document(document) == members
    changed = bytearray(document)
    changed[data.draw(st.integers(0, len(document) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(BadDocumentError):
        parse_document(bytes(changed))


@pytest.mark.parametrize("hostile", [b"", b"{}", b"[]", b"null", b"[" * 100_000, b"\xff\xfe", b'{"format": 1}'])
def test_hostile_documents_are_refused(hostile):
    with pytest.raises(BadDocumentError):
        parse_manifest(hostile)
    place = new_repository().place
    place.objects["repository.json"] = hostile
    with pytest.raises(Exception, match=r"repository\.json"):
        open_repository(place)


def test_a_chunk_that_would_unpack_to_more_than_any_chunk_is_refused():
    import zstandard

    codec = Codec()
    bomb = zstandard.ZstdCompressor().compress(bytes(129 * MIB))
    with pytest.raises(BadChunkError, match="claims to hold"):
        codec.unpack(bomb, bytes(32))
    packer = zstandard.ZstdCompressor(write_content_size=False).compressobj()
    untold = packer.compress(bytes(129 * MIB)) + packer.flush()
    with pytest.raises(BadChunkError):
        codec.unpack(untold, bytes(32))


def test_a_repository_is_made_once_and_refuses_odd_chunks():
    place = MemoryPlace()
    init_repository(place, Settings(), Codec())
    with pytest.raises(NotRepositoryError, match="there already"):
        init_repository(place, Settings(), Codec())
    for size in (0, 4096, 65537, 32 * MIB, 3 * MIB):
        with pytest.raises(NotRepositoryError, match="no chunk has"):
            init_repository(MemoryPlace(), Settings(chunk_size=size), Codec())
    with pytest.raises(NotRepositoryError, match="no repository is there"):
        open_repository(MemoryPlace())
