"""The formats of other programs that images are written in; raw and VHDX are `analyzer.convert`'s own."""
