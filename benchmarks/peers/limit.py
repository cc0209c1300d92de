"""The limit: what the server, the JSON and the model file cost without anything a service is made of."""

import json
import os
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnxruntime

folder = Path(os.environ["PEERS"]) / "release/model"
names = [column["name"] for column in json.loads((folder / "signature.json").read_text("utf-8"))["inputs"]]
fields = [(f"f{number}", float, msgspec.field(name=name)) for number, name in enumerate(names)]
decode = msgspec.json.Decoder(list[msgspec.defstruct("Row", fields)]).decode
encode = msgspec.json.Encoder().encode
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(folder / "model.onnx", options)
taken, given = session.get_inputs()[0].name, [session.get_outputs()[-1].name]
START = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]}


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answer any POST with class probabilities, any GET with nothing."""
    body = b""
    if scope["type"] == "http" and scope["method"] == "POST":
        whole, more = [], True
        while more:
            message = await receive()
            whole.append(message["body"])
            more = message["more_body"]
        rows = np.array([msgspec.structs.astuple(row) for row in decode(b"".join(whole))], np.float32)
        body = encode({"probabilities": session.run(given, {taken: rows})[0].tolist()})
    if scope["type"] == "http":
        await send(START)
        await send({"type": "http.response.body", "body": body})
