"""The table of formats: how each is planned, written and read back. A new format is a module, and a row here."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from analyzer.convert.formats import raw_zst, vhd, vmdk
from analyzer.convert.formats.e01 import layout as e01
from analyzer.convert.formats.e01.read_back import E01Image
from analyzer.convert.formats.e01.segment_files import SegmentedSink, check_segments
from analyzer.convert.formats.e01.writer import E01Writer
from analyzer.convert.formats.format import Format
from analyzer.convert.formats.qcow2 import format as qcow2
from analyzer.convert.formats.qcow2.image import Qcow2Image, Qcow2Writer
from analyzer.convert.model import Compression, OutputFormat
from vhdx.sink import Sink

_ZLIB, _ZSTD = {Compression.ZLIB}, {Compression.ZSTD}
_VHD_FIXED = Format(plan=vhd.plan_fixed, writer=vhd.FixedWriter, image=vhd.FixedImage, sink=Sink)
FORMATS: Mapping[OutputFormat, Format[Any, Any]] = {
    OutputFormat.QCOW2: Format(
        plan=qcow2.plan, writer=Qcow2Writer, image=Qcow2Image, sink=Sink, compressions=_ZLIB | _ZSTD
    ),
    OutputFormat.VHD: Format(plan=vhd.plan_dynamic, writer=vhd.DynamicWriter, image=vhd.DynamicImage, sink=Sink),
    OutputFormat.VHD_FIXED: _VHD_FIXED,
    OutputFormat.VHD_AZURE: replace(_VHD_FIXED, plan=partial(vhd.plan_fixed, unit=vhd.AZURE_UNIT)),
    OutputFormat.VMDK: Format(
        plan=vmdk.plan, writer=vmdk.VmdkWriter, image=vmdk.VmdkImage, sink=Sink, compressions=_ZLIB
    ),
    OutputFormat.RAW_ZST: Format(
        plan=raw_zst.plan, writer=raw_zst.ZstWriter, image=raw_zst.ZstImage, sink=Sink, compressions=_ZSTD
    ),
    OutputFormat.E01: Format(
        plan=e01.plan,
        compressions=_ZLIB,
        writer=E01Writer,
        image=E01Image,
        sink=SegmentedSink,
        check_further=lambda target, layout, *rest: check_segments(target, layout.most_segments, *rest),
        digested=lambda layout: layout.digested_bytes,
    ),
}
"""Each row is typed by its own layout and sink, of which a mapping cannot have many: hence Any."""
