"""Commands on float networks and recordings: `python -m stgcn_ref --help`."""

from __future__ import annotations

import typer

from fxp.console import run as run_app
from stgcn_ref.commands.check import CheckSettings, check
from stgcn_ref.commands.evaluate import EvaluateSettings, evaluate
from stgcn_ref.commands.export import ExportSettings, export
from stgcn_ref.commands.info import InfoSettings, info
from stgcn_ref.commands.predict import PredictSettings, predict
from stgcn_ref.commands.qat import QatSettings, qat
from stgcn_ref.commands.settings import add_command
from stgcn_ref.commands.train import TrainSettings, train
from stgcn_ref.profile_command import profile_command

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__)
data_app = typer.Typer(no_args_is_help=True, help="Recordings.")
app.add_typer(data_app, name="data")
app.command("profile")(profile_command)

add_command(app, "train", TrainSettings, train)
add_command(app, "evaluate", EvaluateSettings, evaluate)
add_command(app, "predict", PredictSettings, predict)
add_command(app, "export", ExportSettings, export)
add_command(app, "qat", QatSettings, qat)
add_command(app, "info", InfoSettings, info)
add_command(data_app, "check", CheckSettings, check)

if __name__ == "__main__":
    run_app(app)
