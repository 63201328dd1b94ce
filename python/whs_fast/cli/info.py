"""`whs-fast info`."""

import click


@click.command("info")
def command() -> None:
    """Show versions, models, CPU features, backends and devices."""
    from importlib.metadata import version

    from whs_fast import _kernels
    from whs_fast.machine import available_threads, cpu_features, describe_system
    from whs_fast.networks.backends import choose_backend
    from whs_fast.networks.compiled_cache import VARIABLE, cache_folder
    from whs_fast.networks.installed import describe_models, models_folder
    from whs_fast.networks.openvino_model import available_devices, describe_runtime
    from whs_fast.reading.inflater import zlib

    runtime = describe_runtime()
    click.echo(f"whs_fast    {version('whs_fast')}")
    click.echo(f"system      {describe_system()}")
    click.echo(
        f"libraries   OpenVINO {runtime['openvino']}, NumPy {version('numpy')}, SimpleITK {version('SimpleITK')}"
    )
    click.echo(f"CPU         {runtime['cpu']}, {available_threads()} threads available")
    click.echo(f"features    {', '.join(cpu_features()) or 'not listed by this system'}")
    click.echo(f"kernels     {', '.join(_kernels.instruction_sets())}; the first is used, all give the same labels")
    devices = ", ".join(available_devices())
    click.echo(f"backends    native (CPU), openvino ({devices}); auto takes {choose_backend('auto', 'CPU')}")
    click.echo(f"formats     {runtime['formats']}; int8 and float32 are used, bfloat16 never")
    inflater = zlib.__name__.partition(".")[0]
    click.echo(f"inflater    {inflater}, of compressed files; isal (pip install 'whs-fast[fast]') is the faster one")
    click.echo(f"cache       compiled networks in {cache_folder() or 'no folder'} ({VARIABLE}=FOLDER or off)")
    click.echo("models")
    for name, model in describe_models(models_folder()).items():
        click.echo(f"  {name}")
        for file, sha256 in model["sha256"].items():
            click.echo(f"    {file:<20} sha256 {sha256}")
        for score, value in model["scores"].items():
            click.echo(f"    {score:<20} {value}")
