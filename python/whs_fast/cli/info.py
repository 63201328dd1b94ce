"""`whs-fast info`."""

from collections.abc import Mapping
from typing import Any

import click


@click.command("info")
@click.option("--json", "as_json", is_flag=True, help="Print it as one JSON object.")
def command(as_json: bool) -> None:
    """Show versions, models, CPU features, backends and devices."""
    found = _describe()
    if as_json:
        import json

        click.echo(json.dumps(found, indent=2))
    else:
        _tell(found)


def _describe() -> dict[str, Any]:
    """What there is, as --json prints it."""
    from importlib.metadata import PackageNotFoundError, version

    from whs_fast import _kernels
    from whs_fast.machine import available_threads, cpu_features, describe_system
    from whs_fast.networks.backends import choose_backend
    from whs_fast.networks.compiled_cache import cache_folder
    from whs_fast.networks.installed import describe_models, models_folder
    from whs_fast.networks.openvino_model import available_devices, describe_runtime
    from whs_fast.reading.inflater import zlib

    runtime, cache = describe_runtime(), cache_folder()
    try:
        reader = version("SimpleITK")
    except PackageNotFoundError:
        reader = "not installed"
    return {
        "version": version("whs_fast"),
        "system": describe_system(),
        "libraries": {"OpenVINO": runtime["openvino"], "NumPy": version("NumPy"), "SimpleITK": reader},
        "cpu": {"name": runtime["cpu"], "threads": available_threads(), "features": cpu_features()},
        "kernels": list(_kernels.instruction_sets()),
        "backends": {"native": ["CPU"], "openvino": list(available_devices())},
        "auto": choose_backend("auto", "CPU"),
        "number_formats": runtime["formats"].split(", "),
        "inflater": zlib.__name__.partition(".")[0],
        "cache": None if cache is None else str(cache),
        "models": describe_models(models_folder()),
    }


def _tell(found: Mapping[str, Any]) -> None:
    from whs_fast.networks.compiled_cache import VARIABLE

    cpu, backends = found["cpu"], found["backends"]
    libraries = ", ".join(f"{name} {version}" for name, version in found["libraries"].items())
    named = ", ".join(f"{name} ({', '.join(devices)})" for name, devices in backends.items())
    click.echo(f"whs_fast    {found['version']}")
    click.echo(f"system      {found['system']}")
    click.echo(f"libraries   {libraries}")
    click.echo(f"CPU         {cpu['name']}, {cpu['threads']} threads available")
    click.echo(f"features    {', '.join(cpu['features']) or 'not listed by this system'}")
    click.echo(f"kernels     {', '.join(found['kernels'])}; the first is used, all give the same labels")
    click.echo(f"backends    {named}; auto takes {found['auto']}")
    click.echo(f"formats     {', '.join(found['number_formats'])}; int8 and float32 are used, bfloat16 never")
    click.echo(
        f"inflater    {found['inflater']}, of compressed files; isal (pip install 'whs-fast[fast]') is the faster one"
    )
    click.echo(f"cache       compiled networks in {found['cache'] or 'no folder'} ({VARIABLE}=FOLDER or off)")
    click.echo("models")
    for name, model in found["models"].items():
        click.echo(f"  {name}")
        for file, sha256 in model["sha256"].items():
            click.echo(f"    {file:<20} sha256 {sha256}")
        for score, value in model["scores"].items():
            click.echo(f"    {score:<20} {value}")
