"""The third stage: the fitted pipeline becomes the one file that is evaluated, compared and served."""

from hashlib import sha256
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline

from slipway import layout
from slipway.behaviour import made_up_rows
from slipway.encoding import columns_of
from slipway.errors import UserError, warn
from slipway.files import read_table, replaced, write_json, write_text
from slipway.params import Export, load_params
from slipway.pipeline_file import load_pipeline, pipeline_bytes, types_in
from slipway.predictor import Matrix, Predictor, Values, encode
from slipway.signature import GOLDEN, SIGNATURE, ModelFile, Signature, load_signature
from slipway.stages import started

GOLDEN_ROWS = 64
OPSETS = {"": 21, "ai.onnx.ml": 3}


def to_onnx(pipeline: Pipeline, features: int) -> bytes:
    """Convert a fitted pipeline to ONNX, one float tensor of shape (n, features) in; raises what skl2onnx raises."""
    import skl2onnx
    from skl2onnx.common.data_types import FloatTensorType

    model = skl2onnx.to_onnx(
        pipeline,
        initial_types=[("features", FloatTensorType([None, features]))],
        options={id(pipeline): {"zipmap": False}} if hasattr(pipeline, "predict_proba") else None,
        target_opset=OPSETS,
        name="model",
    )
    imports = sorted(model.opset_import, key=lambda entry: str(entry.domain))  # skl2onnx has them in any order
    del model.opset_import[:]
    model.opset_import.extend(imports)
    return bytes(model.SerializeToString(deterministic=True))


def reference(pipeline: Pipeline, matrix: Matrix, task: str) -> Values:
    """What the fitted pipeline itself says: probabilities, shape (n, classes), or numbers, shape (n,)."""
    method = pipeline.predict if task == "regression" else pipeline.predict_proba
    return np.asarray(method(matrix), np.float64)


def difference(task: str, exported: Values, fitted: Values) -> float:
    """The greatest difference of two predictions: of probabilities, or of numbers in standard deviations."""
    gap = float(np.abs(exported - fitted.reshape(exported.shape)).max(initial=0.0))
    spread = float(np.std(fitted)) if task == "regression" else 1.0
    return gap / spread if spread > 0 else gap


def export(
    pipeline: Pipeline, signature: Signature, matrix: Matrix, params: Export
) -> tuple[ModelFile, dict[str, Any]]:
    """Write the model file and its signature to `artifacts/model`.

    The file is ONNX if the pipeline converts and agrees with itself on every training row, and skops otherwise.

    Args:
        pipeline: The fitted pipeline.
        signature: Its signature, without a model file.
        matrix: The encoded training rows, shape (n, features).
        params: The `export` section of the settings; its tolerance is what `difference` measures.

    Returns:
        The model file, and the report: format, parity, size, the reason if it is not ONNX.
    """
    fitted = reference(pipeline, matrix, signature.task)

    def parity() -> float:
        exported = Predictor(layout.MODEL, trusted=params.trusted).predict_matrix(matrix)
        return difference(signature.task, exported.values, fitted)

    reason, gap = None, None
    try:
        content = to_onnx(pipeline, matrix.shape[1])
        model = write_model(signature, ModelFile(file="model.onnx", format="onnx", sha256=_digest(content)), content)
        gap = parity()
        if not gap <= params.tolerance:
            reason = f"the ONNX file differs by {gap:.3g}, more than export.tolerance ({params.tolerance:g})"
    except UserError as error:
        reason = str(error)
    except Exception as error:  # converters raise whatever they like, and a project's own estimator may
        reason = f"it does not convert to ONNX: {' '.join(str(error).split())[:200]}"
    if reason is not None:
        content = pipeline_bytes(pipeline)
        (layout.MODEL / "model.onnx").unlink(missing_ok=True)
        types = types_in(content)
        file = ModelFile(file="model.skops", format="skops", sha256=_digest(content), reason=reason, types=types)
        model = write_model(signature, file, content)
        gap = parity()
    report = {
        "format": model.format,
        "reason": reason,
        "parity": {"difference": gap, "tolerance": params.tolerance, "rows": len(matrix)},
        "bytes": len(content),
    }
    return model, report


def write_golden(pipeline: Pipeline, signature: Signature, tolerance: float) -> None:
    """Write rows and what the fitted pipeline says of them, by which a model file is known to be the right one.

    The first `valid` of them keep to the data contract, so that a service answers them. `tolerance` is the greatest
    difference allowed, in the answers' own unit.
    """
    rows = made_up_rows(signature, GOLDEN_ROWS)
    answers = reference(pipeline, encode(signature, rows), signature.task)
    spread = float(np.std(answers)) if signature.task == "regression" else 1.0
    golden = {
        "rows": rows,
        "answers": answers.tolist(),
        "valid": GOLDEN_ROWS // 2,
        "tolerance": tolerance * (spread or 1.0),
    }
    write_json(layout.MODEL / GOLDEN, golden)


def write_model(signature: Signature, model: ModelFile, content: bytes) -> ModelFile:
    """Write a model file and the signature that names it."""
    with replaced(layout.MODEL / model.file) as draft:
        draft.write_bytes(content)
    write_text(
        layout.MODEL / SIGNATURE,
        signature.model_copy(update={"model": model}).model_dump_json(indent=1, exclude_defaults=True) + "\n",
    )
    return model


def _digest(content: bytes) -> str:
    return sha256(content).hexdigest()


def main() -> None:
    """Run the stage in the project's root."""
    with started("export"):
        params, signature = load_params(), load_signature(layout.TRAINED)
        content = (layout.TRAINED / "pipeline.skops").read_bytes()
        pipeline = load_pipeline(content, params.export.trusted)
        frame = read_table(layout.TRAIN, columns=signature.names)
        matrix = encode(signature, columns_of(frame, signature.names))
        model, report = export(pipeline, signature, matrix, params.export)
        write_golden(pipeline, signature, params.export.tolerance)
        write_json(layout.EXPORT_REPORT, report)
        if model.reason is not None:
            warn("export", f"the model ships as skops, not ONNX: {model.reason}")
        gap = report["parity"]["difference"]
        if not gap <= params.export.tolerance:
            raise UserError(
                f"{layout.MODEL / model.file}: differs from the fitted pipeline by {gap:.3g} on the training rows, "
                f"more than export.tolerance ({params.export.tolerance:g}) in {layout.PARAMS}"
            )


if __name__ == "__main__":
    main()
