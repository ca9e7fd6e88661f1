#!/usr/bin/env python3
"""Makes tests/golden/data/archives/: small tar and zip files of the same four pictures in two classes, as different tools
write them.  Usage: make_archives.py FOLDER PICTURE..."""
import io
import os
import sys
import tarfile
import zipfile

folder, pictures = sys.argv[1], sys.argv[2:]
os.makedirs(folder, exist_ok=True)
long_name = "a_rather_long_name_" * 12 + ".jpg"  # over the 100 of a tar header, and over 100 + 155
names = ["cats/1.jpg", "cats/2.jpg", "dogs/1.jpg", "dogs/" + long_name]
data = [open(pictures[i % len(pictures)], "rb").read() for i in range(4)]


def make_zip(name, prefix, method, **options):
    with zipfile.ZipFile(os.path.join(folder, name), "w", method, **options) as out:
        out.writestr(zipfile.ZipInfo(prefix + "cats/"), b"")
        out.writestr(zipfile.ZipInfo("__MACOSX/cats/._1.jpg"), b"junk")
        for member, content in zip(names, data):
            info = zipfile.ZipInfo(prefix + member)
            info.compress_type = method
            with out.open(info, "w", force_zip64=name == "zip64.zip") as stream:
                stream.write(content)
        out.comment = b"a comment PK\5\6 that looks like an end"


def make_tar(name, prefix, form):
    with tarfile.open(os.path.join(folder, name), "w", format=form) as out:
        for entry in ([] if prefix == "" else [prefix]):
            info = tarfile.TarInfo(entry)
            info.type = tarfile.DIRTYPE
            out.addfile(info)
        link = tarfile.TarInfo(prefix + "cats/link.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "1.jpg"
        out.addfile(link)
        for member, content in zip(names, data):
            info = tarfile.TarInfo(prefix + member)
            info.size = len(content)
            if form == tarfile.PAX_FORMAT:
                info.pax_headers = {"comment": "x" * 300}
            out.addfile(info, io.BytesIO(content))


make_zip("stored.zip", "pets/", zipfile.ZIP_STORED)
make_zip("deflated.zip", "train/", zipfile.ZIP_DEFLATED)
make_zip("zip64.zip", "", zipfile.ZIP_DEFLATED)
make_tar("gnu.tar", "./pets/", tarfile.GNU_FORMAT)
make_tar("pax.tar", "", tarfile.PAX_FORMAT)
