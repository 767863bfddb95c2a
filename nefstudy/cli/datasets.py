"""`nefstudy dataset ...`: list, show, verify, clean up, export, mesh, import and classify neural datasets."""

from pathlib import Path
from typing import Annotated, Any

import typer

from nefstudy.cli.options import echo_json, locations_of, open_ledger
from nefstudy.flags import Json, LedgerUrl, Root
from nefstudy.terminal import Terminal, say

dataset = typer.Typer(
    no_args_is_help=True, help="List, show, verify, clean up (gc), export, mesh, import and classify neural datasets."
)


@dataset.command("ls")
def dataset_ls(root: Root = None, as_json: Json = False) -> None:
    """List the neural datasets under the root."""
    from nefstudy.neural_dataset.show import dataset_rows, dataset_table

    rows = dataset_rows(locations_of(root).root)
    echo_json(rows) if as_json else Terminal().print(dataset_table(rows))


Digest = Annotated[str, typer.Argument(metavar="DIGEST", help="Digest of the neural dataset, or its first characters.")]


@dataset.command("show")
def dataset_show(digest: Digest, root: Root = None, as_json: Json = False) -> None:
    """Show one neural dataset: its recipe, field and fingerprint, and its rungs with their quality."""
    from nefstudy.neural_dataset.show import dataset_card, dataset_summary

    card = dataset_summary(locations_of(root).root, digest)
    echo_json(card) if as_json else Terminal().print(dataset_card(card))


@dataset.command("verify")
def dataset_verify(digest: Digest, root: Root = None, as_json: Json = False) -> None:
    """Check every shard of a neural dataset against its manifest; exit 2 if one differs."""
    from nefstudy.neural_dataset.show import resolve_digest, verify_dataset

    locations = locations_of(root)
    found = verify_dataset(locations.root, resolve_digest(locations.root, digest))
    echo_json(found) if as_json else say(f"{found['dataset']}: {found['shards']} shards verified")


@dataset.command("gc")
def dataset_gc(  # noqa: PLR0917  # typer calls it by keyword
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List what would be removed and what stays, and why; remove nothing.")
    ] = False,
    keep: Annotated[str | None, typer.Option(help="all, best:N or none, in place of the --keep of each study.")] = None,
    study: Annotated[str | None, typer.Option(help="The study that --keep applies to; all by default.")] = None,
    root: Root = None,
    ledger: LedgerUrl = None,
    as_json: Json = False,
) -> None:
    """Remove neural datasets that no trial needs and no study keeps; the results of their trials are kept.

    Neural datasets of pending trials and unfinished ladders are kept. Manifests are removed first, so that no reader
    sees a partial one; if interrupted, run it again. Refused (exit 3) while a driver is running; the driver applies
    --keep itself. Removed neural datasets are fitted again when a trial needs them.
    """
    import dataclasses

    from nefstudy.study.gc import gc_table, run_gc

    locations = locations_of(root, ledger)
    with open_ledger(root, ledger, read_only=dry_run) as book:
        found = run_gc(book, locations.root, keep=keep, study=study, dry_run=dry_run)
    if as_json:
        echo_json([dataclasses.asdict(verdict) for verdict in found])
    else:
        Terminal().print(gc_table(found, dry_run=dry_run))


@dataset.command("export")
def dataset_export(
    digest: Digest,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="File to write: .safetensors or .npz.")],
    steps: Annotated[int | None, typer.Option(help="Step count to export; the largest by default.")] = None,
    root: Root = None,
    as_json: Json = False,
) -> None:
    """Write one rung to a single file of arrays: parameters, labels, split and ids."""
    from nefstudy.neural_dataset.show import export_rung, resolve_digest

    locations = locations_of(root)
    written = export_rung(locations.root, resolve_digest(locations.root, digest), out, steps=steps)
    echo_json(written) if as_json else say(f"{written['fields']} fields at {written['steps']} steps: {out}")


@dataset.command("mesh")
def dataset_mesh(  # noqa: PLR0917  # typer calls it by keyword
    digest: Digest,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="File to write: .ply or .obj.")],
    signal: Annotated[int, typer.Option(help="Id of the shape.")] = 0,
    steps: Annotated[int | None, typer.Option(help="Step count to use; the largest by default.")] = None,
    resolution: Annotated[int, typer.Option(help="Points along each axis.")] = 64,
    root: Root = None,
    as_json: Json = False,
) -> None:
    """Write the surface of one fitted shape, computed by marching cubes."""
    from nefstudy.neural_dataset.show import mesh_signal, resolve_digest

    locations = locations_of(root)
    found = resolve_digest(locations.root, digest)
    written = mesh_signal(locations.root, found, out, signal=signal, steps=steps, resolution=resolution)
    echo_json(written) if as_json else say(f"{written['vertices']} vertices, {written['faces']} faces: {out}")


@dataset.command("import")
def dataset_import(  # noqa: PLR0917  # typer calls it by keyword
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of nefs_START-END.hdf5 files.")],
    name: Annotated[str, typer.Option(help="Name for the signals, such as mnist.")],
    field: Annotated[str, typer.Option(help="Field and hyperparameters: siren,hidden=32,layers=3,omega_0=9.")],
    grid: Annotated[str, typer.Option(help="Extent of the signals' grid: 28,28.")],
    steps: Annotated[int, typer.Option(help="Optimizer steps of the fits.")],
    channels: Annotated[int, typer.Option(help="Channels per point.")] = 1,
    kind: Annotated[str, typer.Option(help="Kind of the signals: image or shape.")] = "image",
    init: Annotated[str, typer.Option(help="random or shared.")] = "shared",
    split: Annotated[
        str | None, typer.Option(help="Rows of the train, validation and test splits, in order: 55000,5000,10000.")
    ] = None,
    mean: Annotated[
        str | None, typer.Option(help="Mean used to standardize the images, one value or one per channel.")
    ] = None,
    std: Annotated[
        str | None, typer.Option(help="Standard deviation used to standardize the images; needs --mean.")
    ] = None,
    first_axis: Annotated[
        str, typer.Option(help="Image axis of the first coordinate: row, or column as in fit-a-nef's image task.")
    ] = "row",
    root: Root = None,
    as_json: Json = False,
) -> None:
    """Import a published neural dataset (HDF5), so that classifiers can be trained on it."""
    from nefstudy.neural_dataset.show import import_folder

    described = {"name": name, "field": field, "grid": grid, "channels": channels, "init": init, "steps": steps}
    options = {**described, "kind": kind, "mean": mean, "std": std, "first_axis": first_axis}
    found = import_folder(folder, locations_of(root).root, options=options, split=split)
    if as_json:
        echo_json(found)
        return
    fix = "; pass --mean and --std if the images were standardized" if found["values"].endswith("[0, 1]") else ""
    say(f"{found['fields']} fields imported as {found['dataset']}; {found['values']}{fix}")


@dataset.command("classify")
def dataset_classify(  # noqa: PLR0917  # typer calls it by keyword
    digests: Annotated[
        list[str],
        typer.Argument(metavar="DIGEST", help="Digests of the neural datasets, or their first characters."),
    ],
    classifier: Annotated[
        str,
        typer.Option(
            help="Classifier to train: mlp, gnn (also for fields of several widths), gnn-thin, gnn-sign, transformer, "
            "dws, gnn-published or transformer-published (as in the code of Kofinas et al. 2024)."
        ),
    ] = "gnn-sign",
    epochs: Annotated[int, typer.Option(min=1, help="Epochs to train.")] = 50,
    steps: Annotated[int | None, typer.Option(help="Step count to classify; the largest of each by default.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the classifier.")] = 0,
    root: Root = None,
    as_json: Json = False,
) -> None:
    """Train one classifier on existing neural datasets of the same signals, outside any study.

    Fields of several widths and depths need --classifier gnn.
    """
    from nefstudy.config import ClassifierConfig
    from nefstudy.neural_dataset.show import resolve_digest
    from nefstudy.tasks.standalone import classify_datasets

    where, config = locations_of(root).root, ClassifierConfig(name=classifier, epochs=epochs)
    resolved = [resolve_digest(where, digest) for digest in digests]
    found = classify_datasets(where, resolved, steps=steps, classifier=config, seed=seed)
    if as_json:
        echo_json(found)
        return
    split = found["split"]
    others = [f"{name} {found[f'{name}_accuracy']:.3f}" for name in ("train", "val") if name != split]
    say(f"{classifier}: accuracy {', '.join((*others, _accuracy(found, split)))}")
    for row in found["datasets"]:
        say(f"{row['dataset']} at {row['steps']} steps, {row['field']}: {_accuracy(row, split)}")


def _accuracy(found: dict[str, Any], split: str) -> str:
    """Return the accuracy on a split as text, with its sample size and confidence interval."""
    low, high = found[f"{split}_interval"]
    n = found[f"{split}_n"]
    return f"{split} {found[f'{split}_accuracy']:.3f} (n = {n}, 95 % interval {low:.3f} to {high:.3f})"
