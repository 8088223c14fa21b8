"""Answers that are not what they should be, by name: each must be the error of its scan, and never a mask."""
import gzip
import json

import nibabel as nib
import numpy as np

from tests.export.hostile import AFFINE, as_json, as_message, http, mask, outputs, scan

GOOD = outputs()
TURNED = AFFINE.copy()
TURNED[0, 3] += 0.01


def with_(**changes) -> dict:
    return {name: value for name, value in (GOOD | changes).items() if value is not None}


# what neither way lets through: outputs of the right types that are not the answer to the scan
WRONG = {
    "no mask": with_(mask_bytes=None), "no count": with_(lesion_count=None), "no volume": with_(lesion_volume_ml=None),
    "empty mask": with_(mask_bytes=b""), "text": with_(mask_bytes=b"a mask" * 100),
    "the scan itself": with_(mask_bytes=scan()),
    "packed": with_(mask_bytes=gzip.compress(mask())), "header alone": with_(mask_bytes=mask()[:348]),
    "a byte short": with_(mask_bytes=mask()[:-1]), "a byte more": with_(mask_bytes=mask() + b"\0"),
    "other grid": with_(mask_bytes=mask((6, 5, 3))), "turned grid": with_(mask_bytes=mask((4, 5, 6))),
    "more axes": with_(mask_bytes=mask((6, 5, 4, 2))), "one axis": with_(mask_bytes=mask((120,))),
    "moved": with_(mask_bytes=mask(affine=TURNED)), "mirrored": with_(mask_bytes=mask(affine=AFFINE * [-1, 1, 1, 1])),
    "no affine": with_(mask_bytes=mask(sform_code=0, qform_code=0)), "affine of NaN": with_(mask_bytes=mask(srow_x=np.nan)),
    "values 2": with_(mask_bytes=mask(value=2)), "values 255": with_(mask_bytes=mask(value=255)),
    "int16": with_(mask_bytes=mask(dtype="<i2")), "float32": with_(mask_bytes=mask(dtype="<f4")),
    "said to be float": with_(mask_bytes=mask(datatype=16, bitpix=32)), "no such type": with_(mask_bytes=mask(datatype=999)),
    "slope 2": with_(mask_bytes=mask(scl_slope=2)), "slope NaN": with_(mask_bytes=mask(scl_slope=np.nan)),
    "inter 1": with_(mask_bytes=mask(scl_inter=1)), "offset 0": with_(mask_bytes=mask(vox_offset=0)),
    "offset within the header": with_(mask_bytes=mask(vox_offset=300)),
    "offset NaN": with_(mask_bytes=mask(vox_offset=np.nan)),
    "offset infinite": with_(mask_bytes=mask(vox_offset=np.inf)),
    "offset past the end": with_(mask_bytes=mask(vox_offset=1e9)),
    "negative offset": with_(mask_bytes=mask(vox_offset=-352)), "NIfTI-2": with_(mask_bytes=mask(kind=nib.Nifti2Image)),
    "half a pair": with_(mask_bytes=mask(magic=b"ni1")), "no voxels": with_(mask_bytes=mask(dim=[3, 0, 5, 4, 1, 1, 1, 1])),
    "negative dim": with_(mask_bytes=mask(dim=[3, -6, 5, 4, 1, 1, 1, 1])), "no dim": with_(mask_bytes=mask(dim=0)),
    "huge dim": with_(mask_bytes=mask(dim=[3, 32767, 32767, 32767, 1, 1, 1, 1])),
    "negative count": with_(lesion_count=-1), "count 0 of a full mask": with_(lesion_count=0),
    "count too high": with_(lesion_count=3),
    "negative volume": with_(lesion_volume_ml=-1.0), "other volume": with_(lesion_volume_ml=2 * GOOD["lesion_volume_ml"]),
    "no volume of a full mask": with_(lesion_volume_ml=0.0), "volume NaN": with_(lesion_volume_ml=float("nan")),
    "volume infinite": with_(lesion_volume_ml=float("inf")),
}
ROW = as_json(GOOD)["predictions"][0]


def row(**changes) -> bytes:
    return http({"predictions": [ROW | changes]})


# of REST alone: what is not the JSON that it should be, or not HTTP
MISSHAPEN = {
    "no JSON": http(b"<html>hello</html>"), "empty": http(b""), "null": http(None),
    "a list": http([]), "a number": http(b"1e999"),
    "no UTF-8": http(b'{"predictions": "\xff\xfe\xfd"}'), "cut JSON": http(json.dumps(as_json(GOOD)).encode()[:-9]),
    "two documents": http(json.dumps(as_json(GOOD)).encode() * 2), "deep": http(b"[" * 20000),
    "deep objects": http(b'{"a":' * 9000),
    "an error": http({"error": "no"}), "predictions null": http({"predictions": None}),
    "no predictions": http({"predictions": []}),
    "predictions an object": http({"predictions": ROW}), "two rows": http({"predictions": [ROW, ROW]}),
    "a row of text": http({"predictions": ["mask"]}), "outputs": http({"outputs": ROW}),
    "mask as text": row(mask_bytes="abc"),
    "mask a list": row(mask_bytes=[1, 2]), "b64 a number": row(mask_bytes={"b64": 7}),
    "b64 null": row(mask_bytes={"b64": None}),
    "no b64": row(mask_bytes={"base64": "abcd"}), "b64 with blanks": row(mask_bytes={"b64": "a b c d"}),
    "b64 without padding": row(mask_bytes={"b64": ROW["mask_bytes"]["b64"][:-2]}),
    "b64 of letters": row(mask_bytes={"b64": "ä" * 8}),
    "count a text": row(lesion_count="2"), "count a fraction": row(lesion_count=2.5), "count true": row(lesion_count=True),
    "count a list": row(lesion_count=[2]), "count huge": row(lesion_count=10 ** 30),
    "volume a text": row(lesion_volume_ml="0.1"),
    "volume true": row(lesion_volume_ml=True), "volume a list": row(lesion_volume_ml=[0.1]),
    "volume of 5000 digits": http(json.dumps(as_json(GOOD)).replace(str(GOOD["lesion_volume_ml"]), "9" * 5000).encode()),
    "notes a number": row(notes=7), "notes an object": row(notes={"a": 1}),
    "packed": http(gzip.compress(json.dumps(as_json(GOOD)).encode()), headers="Content-Encoding: gzip\r\n"),
    "204": http(b"", "204 No Content"), "206": http(as_json(GOOD), "206 Partial Content"),
    "400": http({"error": "bad scan"}, "400 Bad"),
    "401": http(b"", "401 Unauthorized"), "403 page": http(b"<html>no</html>" * 9, "403 Forbidden"),
    "404": http(b"", "404 Not Found"),
    "413": http(b"too large", "413 Payload Too Large"), "418 lists": http({"error": ["a", {"b": 1}]}, "418 Teapot"),
    "error of control characters": http({"error": "\x1b[2J\x1b]0;title\x07\r\nerror: forged\n" * 200}, "400 Bad"),
    "500 of the graph": http({"error": "assertion failed: [flair: too large]"}, "500 Internal"),
    "101": http(b"", "101 Switching"), "status 999": http(b"", "999 What"), "no status": b"HTTP/1.1 abc\r\n\r\n",
    "not HTTP": b"SSH-2.0-OpenSSH_9.2\r\n", "gRPC": b"\x00\x00\x18\x04\x00\x00\x00\x00\x00" * 9,
    "endless line": b"HTTP/1.1 200 " + b"a" * 200_000, "endless header": b"HTTP/1.1 200 OK\r\nA: " + b"a" * 200_000,
    "200 headers": b"HTTP/1.1 200 OK\r\n" + b"A: a\r\n" * 200 + b"\r\n",
}


def misshapen_messages() -> dict:
    """What gRPC alone can get wrong, as bytes."""
    from tensorflow_serving.apis import predict_pb2

    def changed(name: str, change) -> bytes:
        message = as_message(GOOD)
        change(message.outputs[name])
        return message.SerializeToString()

    def shape(*sides: int):
        def change(tensor) -> None:
            del tensor.tensor_shape.dim[:]
            for side in sides:
                tensor.tensor_shape.dim.add(size=side)
        return change

    return {
        "no message": b"\xff" * 50, "nothing": b"", "no outputs": predict_pb2.PredictResponse().SerializeToString(),
        "mask of no value": changed("mask_bytes", lambda tensor: tensor.ClearField("string_val")),
        "two masks": changed("mask_bytes", lambda tensor: tensor.string_val.append(b"a")),
        "mask of another type": changed("mask_bytes", lambda tensor: setattr(tensor, "dtype", 4)),
        "count of another type": changed("lesion_count", lambda tensor: setattr(tensor, "dtype", 9)),
        "count of no value": changed("lesion_count", lambda tensor: tensor.ClearField("int_val")),
        "a trillion counts": changed("lesion_count", shape(10 ** 6, 10 ** 6)),
        "a negative shape": changed("lesion_count", shape(-1)),
        "no type": changed("lesion_volume_ml", lambda tensor: tensor.ClearField("dtype")),
        "too long": changed("mask_bytes", lambda tensor: tensor.string_val.__setitem__(0, b"\0" * 2 ** 20)),
    }
