"""`curate init`: make a workspace."""

from __future__ import annotations

import click

from curation.cli.common import emit_result, json_option


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path())
@click.option("--taxonomy", default="learning-behaviours", show_default=True, help="A shipped taxonomy by name, or a YAML file.")
@json_option
def init(folder: str, taxonomy: str, as_json: bool) -> None:
    """Make a workspace in the folder DIR; one that is there already is left as it is."""
    from curation.config import Config, create_workspace
    from curation.store import Catalogue

    workspace = create_workspace(folder, Config(taxonomy=taxonomy))
    with Catalogue.open(workspace.catalogue_url) as catalogue:
        n_clips = len(catalogue.list_clips())
    vocabulary = workspace.taxonomy
    data = {"workspace": str(workspace.root), "taxonomy": vocabulary.id, "clips": n_clips}
    emit_result(f"workspace {workspace.root}: taxonomy {vocabulary.id}, {n_clips} clips", data, as_json=as_json)
