"""`gliomap bench serve`."""

from __future__ import annotations

import contextlib
import itertools
import uuid
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gliomap._text import counted
from gliomap.cli._app import app
from gliomap.cli._options import DarkFrame, RawFrame, WhiteFrame
from gliomap.cli._service import Access, Url
from gliomap.cli._ui import Ui
from gliomap.cli._verb import group, verb
from gliomap.errors import UsageError

if TYPE_CHECKING:
    from rich.table import Table

    from gliomap.serving import Activity, BenchFrames, Client, Measured, ModelAnswer, Rate

bench_app = group(app, "bench", "Measure the speed of a running service.")

_ALL = "labels,npz,json,map,tensors,stream"


@verb(
    bench_app,
    "serve",
    within="bench",
    examples=(
        "gliomap bench serve http://127.0.0.1:8000",
        "gliomap bench serve http://127.0.0.1:8000 --kind stream --seconds 60",
        "gliomap bench serve http://127.0.0.1:8000 --kind labels --clients 1,8,32",
        "gliomap bench serve http://127.0.0.1:8000 --live",
    ),
)
def bench_serve(
    ui: Ui,
    url: Url,
    kinds: Annotated[
        str, typer.Option("--kind", metavar="LIST", help="Any of labels, npz, json, map, tensors, stream, thesis.")
    ] = _ALL,
    clients: Annotated[
        str, typer.Option("--clients", metavar="LIST", help="Clients at the same time; each number is measured.")
    ] = "1",
    seconds: Annotated[
        float, typer.Option("--seconds", metavar="S", min=0.1, max=86_400, help="Length of each measurement.")
    ] = 10.0,
    raw: RawFrame = None,
    white: WhiteFrame = None,
    dark: DarkFrame = None,
    live: Annotated[
        bool, typer.Option("--live", help="Send nothing; show what the service is doing, like top.")
    ] = False,
    every: Annotated[
        float,
        typer.Option("--every", metavar="S", min=0.1, max=86_400, help="With --live: seconds between two readings."),
    ] = 1.0,
    count: Annotated[
        int | None, typer.Option("--count", metavar="N", min=1, help="With --live: end after N readings.")
    ] = None,
    *,
    access: Access,
) -> None:
    """Measure how fast a service answers, and its throughput.

    Requests of each kind are sent back to back, as fast as answers come, with
    your own frames or synthetic ones of the model's camera. Maps are compared:
    'wrong' counts those that differ for the same frame.
    """
    with access.client("bench serve", url) as client:
        if live:
            _follow(ui, client, every, count)
            return
        _measure(ui, client, _words(kinds), _numbers(clients), seconds, (raw, white, dark))


def _measure(
    ui: Ui, client: Client, kinds: list[str], numbers: list[int], seconds: float, files: tuple[Path | None, ...]
) -> None:
    from gliomap.serving import KINDS, measure

    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        raise UsageError("--kind", f"{unknown[0]!r} is not a kind", f"Choose from: {', '.join(KINDS)}.")
    model = client.model()
    frames = _frames(model, files)
    name = f"bench-{uuid.uuid4().hex[:12]}"
    found: list[Measured] = []
    with contextlib.ExitStack() as ending:
        client.put_references(name, frames.white, frames.dark)
        ending.callback(client.delete_references, name)
        try:
            for kind, at_once in ui.track(list(itertools.product(kinds, numbers)), "measuring"):
                found.append(measure(client, kind, frames, references=name, clients=at_once, seconds=seconds))
        finally:
            # Reported even if a later measurement failed or was interrupted: these took their time.
            if found:
                _report(ui, client, model, found)


def _report(ui: Ui, client: Client, model: ModelAnswer, found: list[Measured]) -> None:
    from gliomap.serving import KINDS

    if ui.as_json:
        ui.result({"url": client.url, "model": model.name, "backend": model.backend, "measured": [*map(_told, found)]})
        return
    ui.table(
        ["kind", "clients", "maps/s", "median", "p95", "p99", "max", "refused", "wrong", "dropped"],
        [_row(one) for one in found],
        title=f"{model.name} on {model.backend}; times in ms, at the client",
        numbers=" rrrrrrrrr",
    )
    ui.text(*(f"{kind}: {KINDS[kind]}" for kind in dict.fromkeys(one.kind for one in found)))
    failed = sum(one.failed for one in found)
    if failed:
        ui.text(f"{counted(failed, 'answer')} failed: see the service's log.")


def _frames(model: ModelAnswer, files: tuple[Path | None, ...]) -> BenchFrames:
    from gliomap.bundles import Manifest
    from gliomap.captures import read_frame
    from gliomap.serving import BenchFrames, synthetic_frames

    told = Manifest.model_validate(model.manifest).sensor
    if told is None:
        raise UsageError(model.name, "names no camera", "Serve a bundle that takes frames.")
    sensor, given = told.build(), [path for path in files if path is not None]
    if not given:
        return synthetic_frames(sensor)
    if len(given) != len(files):
        raise UsageError("bench serve", "needs --raw, --white and --dark together", "Give all three, or none.")
    return BenchFrames(*(read_frame(path, sensor).data for path in given))


def _told(one: Measured) -> dict[str, Any]:
    quantiles = {name: one.quantile(share) for name, share in (("median", 0.5), ("p95", 0.95), ("p99", 0.99))}
    return {
        "kind": one.kind,
        "clients": one.clients,
        "seconds": round(one.seconds, 3),
        "maps_per_second": round(one.per_second, 2),
        "times_ms": {
            **{name: None if value is None else round(1e3 * value, 2) for name, value in quantiles.items()},
            "longest": round(1e3 * max(one.times), 2) if one.times else None,
        },
        "answers": {str(status): count for status, count in sorted(one.answers.items())},
        "wrong": one.wrong,
        "dropped": one.dropped,
    }


def _row(one: Measured) -> tuple[object, ...]:
    told = _told(one)
    times = ["" if value is None else f"{value:.1f}" for value in told["times_ms"].values()]
    return (one.kind, one.clients, f"{one.per_second:.1f}", *times, one.refused, one.wrong, one.dropped)


def _follow(ui: Ui, client: Client, every: float, count: int | None) -> None:
    from gliomap.serving import follow

    looks = itertools.islice(follow(client, every), count)
    if ui.as_json:
        for activity in looks:
            ui.result(asdict(activity), event=True)
    elif ui.out.is_terminal:
        from rich.live import Live

        with Live(console=ui.out, auto_refresh=False) as view:
            for activity in looks:
                view.update(_screen(client.url, activity), refresh=True)
    else:
        for activity in looks:
            ui.text(", ".join(f"{name} {value}" for name, value in _facts(activity)))


def _facts(now: Activity) -> list[tuple[str, str]]:
    return [
        ("maps/s", f"{now.maps:.1f}"),
        ("blank/s", f"{now.blank:.1f}"),
        ("refused/s", f"{now.refused:.1f}"),
        ("dropped/s", f"{now.dropped:.1f}"),
        ("queue", str(now.queue)),
        ("under way", str(now.under_way)),
        ("streams", str(now.streams)),
        ("references", str(now.references)),
        ("cores", f"{now.cores:.2f}"),
        ("memory", f"{now.memory_mb:.0f} MB"),
        ("not classified", f"{now.not_classified:.1%}"),
    ]


def _screen(url: str, now: Activity) -> Table:
    from rich.table import Table
    from rich.text import Text

    facts = Table.grid(padding=(0, 2))
    pairs = [Text.assemble(f"{name} ", (value, "bold")) for name, value in _facts(now)]
    for start in range(0, len(pairs), 4):
        facts.add_row(*pairs[start : start + 4])
    page = Table.grid(padding=(0, 0, 1, 0))
    page.add_row(Text.assemble((url, "bold"), f"  {now.model}  (Ctrl-C ends)"))
    page.add_row(facts)
    page.add_row(_rates("request", now.routes))
    page.add_row(_rates("stage", now.stages))
    return page


def _rates(title: str, rates: tuple[Rate, ...]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(title, min_width=28)
    for column in ("per second", "mean ms"):
        table.add_column(column, justify="right")
    for one in rates:
        table.add_row(one.name, f"{one.per_second:.1f}", "" if one.mean_ms is None else f"{one.mean_ms:.2f}")
    return table


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _numbers(text: str) -> list[int]:
    numbers = [int(word) if word.isdecimal() else 0 for word in _words(text)]
    if not numbers or min(numbers) < 1 or max(numbers) > 256:
        raise UsageError(
            "--clients", f"{text!r} is not a list of client counts", "Give numbers from 1 to 256, such as 1,8,32."
        )
    return numbers
