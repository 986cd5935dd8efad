"""Encryption, against a reading of docs/backup-places.md that shares no code with it; and tampering."""

import hashlib
import hmac
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("cryptography")
pytest.importorskip("zstandard")

from analyzer.backup.errors import BadChunkError, DamagedObjectError
from analyzer.backup.repository.codec import SealedCodec
from analyzer.backup.repository.keys import Cost, KeySlotError, WrongKeyError, new_key, parse_slot, unlock

CHEAP = Cost(n=16, r=1, p=1)
BOUND = b"what the repository is"
SLOT, KEYS = new_key("passphrase", BOUND, CHEAP)
CODEC = SealedCodec("test", KEYS)


def hkdf(key, word):
    """RFC 5869 with SHA-256, no salt, 32 bytes."""
    extracted = hmac.digest(bytes(32), key, "sha256")
    return hmac.digest(extracted, word + b"\x01", "sha256")


def opened_by_hand(plain, passphrase):
    """The repository's key, as the documentation says to get it."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    stretched = hashlib.scrypt(
        passphrase.encode(), salt=bytes.fromhex(plain["salt"]), n=plain["n"], r=plain["r"], p=plain["p"], dklen=32
    )
    return AESGCM(stretched).decrypt(bytes.fromhex(plain["nonce"]), bytes.fromhex(plain["wrapped"]), BOUND)


def test_a_reader_made_from_the_documentation_reads_a_chunk_and_a_document():
    import zstandard
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    key = opened_by_hand(json.loads(json.dumps(SLOT.to_plain())), "passphrase")
    content = b"content" * 1000
    chunk_id, packed = CODEC.id_of(content), CODEC.pack(content)
    assert chunk_id == hmac.digest(hkdf(key, b"vhdx backup ids"), content, "sha256")
    assert packed[:8] == b"VHDXAEAD"
    frame = AESGCM(hkdf(key, b"vhdx backup chunks")).decrypt(packed[8:20], packed[20:], chunk_id)
    assert zstandard.ZstdDecompressor().decompress(frame) == content
    sealed = bytes(CODEC.seal("points/a.json", b"document"))
    plain = AESGCM(hkdf(key, b"vhdx backup objects")).decrypt(sealed[8:20], sealed[20:], b"points/a.json")
    assert plain == b"document"


@given(st.binary(max_size=2000))
def test_what_is_packed_or_sealed_comes_back(content):
    assert CODEC.unpack(CODEC.pack(content), CODEC.id_of(content)) == content
    assert CODEC.open("points/x", CODEC.seal("points/x", content)) == content


def test_the_same_content_is_never_sealed_alike():
    assert CODEC.pack(b"same") != CODEC.pack(b"same")
    assert CODEC.id_of(b"same") == CODEC.id_of(b"same")


def test_ids_are_of_the_key_and_not_of_the_content_alone():
    other = SealedCodec("test", new_key("passphrase", BOUND, CHEAP)[1])
    assert other.id_of(b"known file") != CODEC.id_of(b"known file")
    assert hashlib.sha256(b"known file").digest() != CODEC.id_of(b"known file")


@settings(max_examples=60)
@given(st.data())
def test_one_changed_bit_anywhere_is_told(data):
    packed, sealed = bytearray(CODEC.pack(b"content")), bytearray(CODEC.seal("points/a", b"content"))
    for stored in (packed, sealed):
        bit = data.draw(st.integers(0, len(stored) * 8 - 1))
        stored[bit // 8] ^= 1 << bit % 8
    with pytest.raises(BadChunkError):
        CODEC.unpack(bytes(packed), CODEC.id_of(b"content"))
    with pytest.raises(DamagedObjectError):
        CODEC.open("points/a", bytes(sealed))


@pytest.mark.parametrize("length", [0, 1, 8, 19, 20, 35, 36])
def test_what_ends_early_is_told(length):
    with pytest.raises(BadChunkError):
        CODEC.unpack(CODEC.pack(b"content")[:length], CODEC.id_of(b"content"))
    with pytest.raises(DamagedObjectError):
        CODEC.open("points/a", bytes(CODEC.seal("points/a", b"content"))[:length])


def test_objects_put_in_each_others_place_are_told():
    """[swapped by whoever holds the store]: each is whole, and neither is what its name says."""
    one, other = CODEC.pack(b"one"), CODEC.pack(b"other")
    with pytest.raises(BadChunkError):
        CODEC.unpack(one, CODEC.id_of(b"other"))
    with pytest.raises(BadChunkError):
        CODEC.unpack(other, CODEC.id_of(b"one"))
    with pytest.raises(DamagedObjectError):
        CODEC.open("points/monday.json", CODEC.seal("points/sunday.json", b"sunday"))
    with pytest.raises(DamagedObjectError):
        CODEC.open("points/a", one)


def test_the_passphrase_opens_and_another_says_so():
    assert unlock(parse_slot(SLOT.to_plain()), "passphrase", BOUND) == KEYS
    with pytest.raises(WrongKeyError, match="does not open this repository"):
        unlock(SLOT, "Passphrase", BOUND)


def test_the_key_is_tied_to_the_settings_beside_it():
    with pytest.raises(WrongKeyError):
        unlock(SLOT, "passphrase", b"other settings")


def test_an_accent_is_one_however_the_keyboard_writes_it():
    slot, keys = new_key("caf\u00e9", BOUND, CHEAP)
    assert unlock(slot, "cafe\u0301", BOUND) == keys


@pytest.mark.parametrize(
    "change",
    [
        {"kdf": "none"}, {"n": 15}, {"n": 0}, {"n": -16}, {"n": True}, {"n": 1 << 40}, {"r": 1 << 30}, {"p": 1 << 60},
        {"n": "16"}, {"salt": "00"}, {"salt": "zz" * 32}, {"nonce": None}, {"wrapped": ""},
    ],
)  # fmt: skip
def test_a_key_slot_that_makes_no_sense_or_asks_too_much_is_refused(change):
    with pytest.raises(KeySlotError):
        parse_slot(SLOT.to_plain() | change)


def test_no_key_shows_in_any_text():
    for value in (KEYS, SLOT):
        assert KEYS.chunks.hex() not in repr(value)
        assert repr(KEYS.ids) not in repr(value)
