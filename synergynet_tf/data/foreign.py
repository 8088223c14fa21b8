"""What a file is that is no NIfTI scan, and what to do about it: pointers in place of data, web pages, other formats."""
import os
from pathlib import Path

ENOUGH = 544        # bytes of a file's beginning that tell what it is
CONVERT = "convert it to .nii.gz"
SIGNATURES = {
    b"version https://git-lfs": "a Git LFS pointer to the scan; fetch the scan with `git lfs pull`",
    b"/annex/objects/": "a git-annex pointer to the scan; fetch the scan with `git annex get` or `datalad get`",
    b"PK\x03\x04": "a zip archive; unpack it",
    b"7z\xbc\xaf": "a 7z archive; unpack it",
    b"Rar!": "a rar archive; unpack it",
    b"BZh": "packed with bzip2; unpack it, and pack the scan with gzip",
    b"\xfd7zXZ": "packed with xz; unpack it, and pack the scan with gzip",
    b"\x28\xb5\x2f\xfd": "packed with zstd; unpack it, and pack the scan with gzip",
    b"\x1f\x8b": "packed with gzip more than once; unpack it once",
    b"NRRD": f"an NRRD file; {CONVERT}",
    b"ObjectType": f"a MetaImage header; {CONVERT}",
    b"NDims": f"a MetaImage header; {CONVERT}",
    b"CDF": f"a MINC file; {CONVERT} (mnc2nii)",
    b"\x89HDF": f"an HDF5 or MINC file; {CONVERT}",
    b"\x93NUMPY": f"a NumPy array, which says nothing of its grid; {CONVERT}",
    b"\x00\x00\x00\x01\x00\x00": f"a FreeSurfer file (.mgh, .mgz); {CONVERT} (mri_convert)",
    b"\x89PNG": "a PNG picture; give the scan",
    b"\xff\xd8\xff": "a JPEG picture; give the scan",
    b"GIF8": "a GIF picture; give the scan",
    b"II*\x00": f"a TIFF file; {CONVERT}",
    b"MM\x00*": f"a TIFF file; {CONVERT}",
    b"%PDF": "a PDF; give the scan",
    b"{": "a JSON file; give the scan that it is about",
    b"[": "a JSON file; give the scan that it is about",
    b"# === DATA DESCRIPTION": f"a Philips PAR header; {CONVERT} (dcm2niix)",
}
PAGES = (b"<!doctype", b"<html", b"<head", b"<body")


def described(head: bytes) -> str:
    """What a file is by its first `ENOUGH` bytes, unpacked where they are gzip data, and the remedy."""
    return f"not a NIfTI file, but {found}" if (found := _found(head)) else f"not a NIfTI file; {CONVERT}"


def _found(head: bytes) -> str | None:
    """What the bytes are the beginning of; none where they are none of what is known."""
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if not head.strip(b"\0"):
        return f"{'all zeros' if head else 'empty'}: the scan's data are not there; copy or download it again"
    for signature, meaning in SIGNATURES.items():
        if start.startswith(signature):
            return meaning
    if start[:16].lower().startswith(PAGES):
        return "a web page (HTML), as a download without the rights gives it; download the scan itself"
    if start.startswith(b"<"):
        return "an XML file; give the scan"
    if head[128:132] == b"DICM":
        return f"a DICOM file; {CONVERT} (dcm2niix)"
    if head[257:262] == b"ustar":
        return "a tar archive; unpack it"
    if 348 in (int.from_bytes(head[:4], order) for order in ("little", "big")):
        pair = head[344:347] == b"ni1"
        return f"{'the header of a NIfTI pair (.hdr and .img)' if pair else 'an Analyze header'}; {CONVERT}, one file"
    if head.isascii() and b"\0" not in head:
        return f"text ({_shown(start)}); {CONVERT}, or give the scan"
    return None


def absent(path: Path) -> str:
    """Why there is no regular file at a path, and the remedy."""
    if path.exists():
        return f"{'a folder' if path.is_dir() else 'no regular file'}; give a NIfTI file"
    if not path.is_symlink():
        return "no such file; check the path"
    target = os.readlink(path)
    if "annex/objects" in target.replace(os.sep, "/"):
        return "no such file: a git-annex link whose data are not there; fetch them with `git annex get` or `datalad get`"
    return f"no such file: a link to {target}, which does not exist; copy the scan there, or mend the link"


def _shown(text: bytes) -> str:
    first = (text.splitlines() or [b""])[0][:40].decode("ascii", "replace")
    return repr("".join(c if c.isprintable() else " " for c in first))
