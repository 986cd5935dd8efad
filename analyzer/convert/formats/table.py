"""The table of formats: how each is planned, written and read back. A new format is a folder, and a row here."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from analyzer.convert.formats.e01 import layout as e01
from analyzer.convert.formats.e01.read_back import E01Image
from analyzer.convert.formats.e01.segment_files import SegmentedSink
from analyzer.convert.formats.e01.writer import E01Writer
from analyzer.convert.formats.format import Format
from analyzer.convert.formats.qcow2 import format as qcow2
from analyzer.convert.formats.qcow2.image import Qcow2Image, Qcow2Writer
from analyzer.convert.formats.raw_zst import ZstImage, ZstWriter, plan_zst
from analyzer.convert.formats.vhd import writer as vhd
from analyzer.convert.formats.vmdk import writer as vmdk
from analyzer.convert.model import OutputFormat
from vhdx.sink import Sink

_VHD_FIXED = Format(plan=vhd.plan_fixed, writer=vhd.FixedWriter, image=vhd.FixedImage, sink=Sink)
FORMATS: Mapping[OutputFormat, Format[Any, Any]] = {
    OutputFormat.QCOW2: Format(plan=qcow2.plan, writer=Qcow2Writer, image=Qcow2Image, sink=Sink),
    OutputFormat.VHD: Format(plan=vhd.plan_dynamic, writer=vhd.DynamicWriter, image=vhd.DynamicImage, sink=Sink),
    OutputFormat.VHD_FIXED: _VHD_FIXED,
    OutputFormat.VHD_AZURE: replace(_VHD_FIXED, plan=vhd.plan_azure),
    OutputFormat.VMDK: Format(plan=vmdk.plan, writer=vmdk.VmdkWriter, image=vmdk.VmdkImage, sink=Sink),
    OutputFormat.RAW_ZST: Format(plan=plan_zst, writer=ZstWriter, image=ZstImage, sink=Sink),
    OutputFormat.E01: Format(
        plan=e01.plan,
        writer=E01Writer,
        image=E01Image,
        sink=SegmentedSink,
        check_further=e01.check_further,
        digested=lambda layout: layout.digested_bytes,
    ),
}
"""Each row is typed by its own layout and sink, of which a mapping cannot have many: hence Any."""
