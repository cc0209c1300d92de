"""`slipway adopt`: somebody's own table becomes the project's data, with a contract, a split, slices and thresholds."""

import shutil
from dataclasses import replace
from pathlib import Path

from slipway import layout
from slipway.adopt.decide import Adoption, decide
from slipway.adopt.infer import Wishes
from slipway.adopt.transaction import all_or_nothing, changed, refuse_overwriting, way_back
from slipway.adopt.write import data_dvc_text, params_text, schema_text
from slipway.delivery.data import ADOPTED, ADOPTING, default_remote, push_data
from slipway.files import scratch_folder, write_text
from slipway.params import load_params
from slipway.plots import with_plots
from slipway.schema import load_schema
from slipway.settings_check import check_settings


def adopt(path: Path, wishes: Wishes, force: bool = False) -> Adoption:
    """Make a table the data of the project in the current folder: all of it, or nothing has changed.

    Args:
        path: A CSV, Parquet or JSON-lines file, or a folder of such files with equal columns.
        wishes: What its owner says about it.
        force: Overwrite the contract, the settings and `data/` even where they hold work that is in no commit.

    Returns:
        What was decided and written.

    Raises:
        UserError: The table cannot be read or learned from, a wish cannot be met, or work would be overwritten.
    """
    _, remote = default_remote(Path())
    params = load_params()
    if not force:
        refuse_overwriting(ADOPTED if layout.SCHEMA.exists() else [])  # as it was made, it has nothing to lose
    had_data = layout.DATA.exists()
    with scratch_folder(ADOPTING) as scratch:
        adoption = decide(path, wishes, params, scratch)
        drafts = {
            layout.SCHEMA: schema_text(adoption),
            layout.PARAMS: params_text(layout.PARAMS.read_text(encoding="utf-8"), adoption.proposal),
            layout.PIPELINE: with_plots(layout.PIPELINE.read_text(encoding="utf-8"), adoption.schema.target.task),
            layout.DATA_DVC: data_dvc_text(adoption.origin),
        }
        for place, text in drafts.items():
            write_text(scratch / place, text)
        check_settings(load_params(scratch / layout.PARAMS), load_schema(scratch / layout.SCHEMA))
        (scratch / "fresh").mkdir()
        for file in adoption.files:
            shutil.copyfile(file, scratch / "fresh" / file.name)
        ignores = [folder / ".gitignore" for folder in (Path(), remote) if folder is not None]
        with all_or_nothing(scratch / "fresh", [*drafts, *ignores], scratch):
            for place in drafts:
                (scratch / place).replace(place)
            push_data(Path())
    written = changed([*drafts, *ignores, *([remote] if remote else [])])
    # A run that did not end has removed the reports that it was to make, and only the last commit has them yet.
    removed = {name: True for name, known in changed([layout.REPORTS]).items() if known and not Path(name).exists()}
    undo = way_back(written | removed, had_data)
    return replace(adoption, written=tuple(written), removed=tuple(removed), undo=undo)
