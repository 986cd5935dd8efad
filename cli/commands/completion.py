"""`vhdx completion`."""

import click
from click.shell_completion import get_completion_class


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print the completion script for vhdx's commands and options, for your shell.

    \b
    Examples:
      vhdx completion bash >> ~/.bashrc
      vhdx completion fish > ~/.config/fish/completions/vhdx.fish
    """
    completion = get_completion_class(shell)
    if completion is not None:
        click.echo(completion(ctx.find_root().command, {}, "vhdx", "_VHDX_COMPLETE").source())
