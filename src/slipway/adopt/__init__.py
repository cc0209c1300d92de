"""`slipway adopt`: somebody's own table becomes the project's data, with a contract, a split, slices and thresholds."""

from pathlib import Path

from slipway import layout
from slipway.adopt.decide import Adoption, decide
from slipway.adopt.infer import Wishes
from slipway.adopt.write import data_dvc_text, params_text, refuse_overwriting, replace_data, schema_text
from slipway.delivery.data import default_remote, version_data
from slipway.errors import UserError
from slipway.files import console, scratch_folder, write_text
from slipway.params import load_params
from slipway.plots import with_plots
from slipway.schema import load_schema
from slipway.settings_check import check_settings

WORKSHOP = Path(".dvc/tmp/adopt")  # on the project's own disk, and ignored by git and DVC
PIPELINE = Path("dvc.yaml")


def adopt(path: Path, wishes: Wishes, force: bool = False) -> Adoption:
    """Make a table the data of the project in the current folder; nothing changes before everything is decided.

    Args:
        path: A CSV, Parquet or JSON-lines file, or a folder of such files with equal columns.
        wishes: What its owner says about it.
        force: Overwrite the contract, the settings and `data/` even where they hold work that is in no commit.

    Returns:
        What was decided.

    Raises:
        UserError: The table cannot be read or learned from, a wish cannot be met, or work would be overwritten.
    """
    default_remote(Path())
    params = load_params()
    if not force:
        refuse_overwriting([layout.SCHEMA, layout.PARAMS, layout.DATA_DVC, PIPELINE])
    with scratch_folder(WORKSHOP) as scratch:
        adoption = decide(path, wishes, params, scratch)
        drafts = {
            layout.SCHEMA: schema_text(adoption),
            layout.PARAMS: params_text(layout.PARAMS.read_text(encoding="utf-8"), adoption.proposal),
            PIPELINE: with_plots(PIPELINE.read_text(encoding="utf-8"), adoption.schema.target.task),
            layout.DATA_DVC: data_dvc_text(adoption.origin),
        }
        for place, text in drafts.items():
            write_text(scratch / place, text)
        try:
            check_settings(load_params(scratch / layout.PARAMS), load_schema(scratch / layout.SCHEMA))
        except UserError:
            raise UserError(
                f"{layout.PARAMS}: cannot be edited; write its sections as blocks, one key a line"
            ) from None
        replace_data(adoption.files, scratch)
        for place, text in drafts.items():
            write_text(place, text)
    with console().status("versioning data/ with DVC"):
        version_data(Path())
    return adoption
