"""The command that explains recipes: schema."""

import json

import typer

JSON = typer.Option(False, "--json", help="Print JSON instead of tables.")


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(schema)


def schema(
    as_json: bool = JSON,
    markdown: bool = typer.Option(False, "--markdown", help="Print docs/recipe.md."),
) -> None:
    """List every field of a recipe with its type, default, unit and meaning."""
    from flows.reference import recipe_reference
    from llm.recipe import Recipe, fields

    if markdown:
        print(recipe_reference(), end="")
        return
    if as_json:
        print(json.dumps(Recipe.model_json_schema(), indent=1))
        return
    for field in fields():
        default = f" = {field.default}" if field.default else ""
        typer.echo(f"{typer.style(field.path, bold=True)}: {field.type}{default}")
        if field.description:
            typer.echo(f"    {field.description}")
