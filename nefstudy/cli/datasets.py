"""`nefstudy dataset ...`: list, show, verify, drop, export, mesh, import and classify neural datasets."""

from pathlib import Path
from typing import Annotated

import typer

from nefstudy.cli.door import Json, LedgerUrl, Root, echo_json, open_ledger, place_of
from nefstudy.terminal import Terminal, say

dataset = typer.Typer(
    no_args_is_help=True, help="Neural datasets: list, show, verify, drop, export, mesh, import, classify."
)


@dataset.command("ls")
def dataset_ls(root: Root = None, as_json: Json = False) -> None:
    """List the neural datasets under the root."""
    from nefstudy.neural_dataset.show import dataset_rows, dataset_table

    rows = dataset_rows(place_of(root).root)
    echo_json(rows) if as_json else Terminal().print(dataset_table(rows))


Digest = Annotated[str, typer.Argument(help="Digest of the neural dataset, or the beginning of one.")]


@dataset.command("show")
def dataset_show(digest: Digest, root: Root = None, as_json: Json = False) -> None:
    """Show one neural dataset: recipe, field, rungs with their quality, fingerprint."""
    from nefstudy.neural_dataset.show import dataset_card, dataset_summary

    card = dataset_summary(place_of(root).root, digest)
    echo_json(card) if as_json else Terminal().print(dataset_card(card))


@dataset.command("verify")
def dataset_verify(digest: Digest, root: Root = None, as_json: Json = False) -> None:
    """Check every shard of a neural dataset against its manifest; exit 2 names the first that differs."""
    from nefstudy.neural_dataset.show import resolve_digest, verify_dataset

    place = place_of(root)
    found = verify_dataset(place.root, resolve_digest(place.root, digest))
    echo_json(found) if as_json else say(f"{found['dataset']}: {found['shards']} shards verify")


@dataset.command("gc")
def dataset_gc(  # noqa: PLR0917  # typer calls it by keyword
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only list what would go and what stays, and why.")
    ] = False,
    keep: Annotated[
        str | None, typer.Option(help="all, best:N or none, in place of what each study was run with (--keep).")
    ] = None,
    study: Annotated[str | None, typer.Option(help="The study that --keep is about; every one by default.")] = None,
    root: Root = None,
    ledger: LedgerUrl = None,
    as_json: Json = False,
) -> None:
    """Drop neural datasets that no trial needs and no study keeps; their trials' results stay.

    A trial that waits or runs, and a ladder with a rung to come, keep theirs. Each goes manifest first, so that none
    is ever seen half removed; cut off, run it again. Refused (exit 3) while a study's driver is at work: that drops
    by its own --keep. Dropped ones come back by themselves when a trial asks for them.
    """
    import dataclasses

    from nefstudy.study.gc import collected, gc_table

    place = place_of(root, ledger)
    with open_ledger(root, ledger, read_only=dry_run) as book:
        found = collected(book, place.root, keep=keep, study=study, dry_run=dry_run)
    if as_json:
        echo_json([dataclasses.asdict(verdict) for verdict in found])
    else:
        Terminal().print(gc_table(found, dry_run=dry_run))


@dataset.command("export")
def dataset_export(
    digest: Digest,
    out: Annotated[Path, typer.Argument(help="File to write: .safetensors or .npz.")],
    steps: Annotated[int | None, typer.Option(help="The rung to export; the longest by default.")] = None,
    root: Root = None,
    as_json: Json = False,
) -> None:
    """Write one rung as a single file of arrays: parameters, labels, split, ids."""
    from nefstudy.neural_dataset.show import export_rung, resolve_digest

    place = place_of(root)
    written = export_rung(place.root, resolve_digest(place.root, digest), out, steps=steps)
    echo_json(written) if as_json else say(f"{written['fields']} fields at {written['steps']} steps: {out}")


@dataset.command("mesh")
def dataset_mesh(  # noqa: PLR0917  # typer calls it by keyword
    digest: Digest,
    out: Annotated[Path, typer.Argument(help="File to write: .ply or .obj.")],
    signal: Annotated[int, typer.Option(help="Id of the shape.")] = 0,
    steps: Annotated[int | None, typer.Option(help="The rung to use; the longest by default.")] = None,
    resolution: Annotated[int, typer.Option(help="Points along each axis.")] = 64,
    root: Root = None,
    as_json: Json = False,
) -> None:
    """Write the surface of one fitted shape, by marching cubes."""
    from nefstudy.neural_dataset.show import mesh_signal, resolve_digest

    place = place_of(root)
    found = resolve_digest(place.root, digest)
    written = mesh_signal(place.root, found, out, signal=signal, steps=steps, resolution=resolution)
    echo_json(written) if as_json else say(f"{written['vertices']} vertices, {written['faces']} faces: {out}")


@dataset.command("import")
def dataset_import(  # noqa: PLR0917  # typer calls it by keyword
    folder: Annotated[Path, typer.Argument(help="Folder of nefs_START-END.hdf5 files.")],
    name: Annotated[str, typer.Option(help="What to call the signals, such as mnist.")],
    field: Annotated[str, typer.Option(help="Field and hyperparameters: siren,hidden=32,layers=3,omega_0=9.")],
    grid: Annotated[str, typer.Option(help="Extent of the signals' grid: 28,28.")],
    steps: Annotated[int, typer.Option(help="Optimizer steps the fields had.")],
    channels: Annotated[int, typer.Option(help="Values per point.")] = 1,
    kind: Annotated[str, typer.Option(help="Kind of the signals: image or shape.")] = "image",
    init: Annotated[str, typer.Option(help="random or shared.")] = "shared",
    split: Annotated[
        str | None, typer.Option(help="Rows that train, validate, test, in order: 55000,5000,10000.")
    ] = None,
    mean: Annotated[
        str | None, typer.Option(help="Mean the images were standardized by, one for all channels or one each.")
    ] = None,
    std: Annotated[str | None, typer.Option(help="Standard deviation they were standardized by; needs --mean.")] = None,
    first_axis: Annotated[
        str, typer.Option(help="Image axis of the first coordinate: row, or column as in fit-a-nef's image task.")
    ] = "row",
    root: Root = None,
    as_json: Json = False,
) -> None:
    """Bring a published neural dataset (HDF5) into our format, so that classifiers can read it."""
    from nefstudy.neural_dataset.show import import_folder

    said = {"name": name, "field": field, "grid": grid, "channels": channels, "init": init, "steps": steps}
    given = {**said, "kind": kind, "mean": mean, "std": std, "first_axis": first_axis}
    found = import_folder(folder, place_of(root).root, said=given, split=split)
    if as_json:
        echo_json(found)
        return
    fix = "; pass --mean and --std if the images were standardized" if found["values"].endswith("[0, 1]") else ""
    say(f"{found['fields']} fields imported as {found['dataset']}; {found['values']}{fix}")


@dataset.command("classify")
def dataset_classify(  # noqa: PLR0917  # typer calls it by keyword
    digest: Digest,
    classifier: Annotated[str, typer.Option(help="Classifier that reads the weights.")] = "gnn-sign",
    epochs: Annotated[int, typer.Option(min=1, help="Epochs to train.")] = 50,
    steps: Annotated[int | None, typer.Option(help="The rung to read; the longest by default.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the classifier.")] = 0,
    root: Root = None,
    as_json: Json = False,
) -> None:
    """Train a classifier on a neural dataset that is there, outside any study."""
    from nefstudy.config import ClassifierConfig
    from nefstudy.neural_dataset.show import resolve_digest
    from nefstudy.tasks.reading import read_weights

    place = place_of(root)
    config = ClassifierConfig(name=classifier, epochs=epochs)
    found = read_weights(place.root, resolve_digest(place.root, digest), steps=steps, classifier=config, seed=seed)
    if as_json:
        echo_json(found)
    else:
        accuracies = ", ".join(f"{part} {found[f'{part}_accuracy']:.3f}" for part in ("train", "val", "test"))
        say(f"{found['dataset']} at {found['steps']} steps, {classifier}: accuracy {accuracies}")
