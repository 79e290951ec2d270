"""The command `mlrepro`: reads what the user typed and runs the verb."""

import argparse
import signal
import sys
from pathlib import Path

from mlrepro.addresses import without_secrets
from mlrepro.errors import InputError
from mlrepro.system_errors import in_words
from mlrepro.terminal import safe_output
from mlrepro_cli import OWN_DATA
from mlrepro_cli.audit import command as audit
from mlrepro_cli.export import command as export
from mlrepro_cli.init_data import command as init_data
from mlrepro_cli.launch import command as launch
from mlrepro_cli.plan import command as plan
from mlrepro_cli.predict import command as predict
from mlrepro_cli.repository import require_root
from mlrepro_cli.unpack import command as unpack

DESCRIPTION = """\
Compare methods on your own pictures, choose one, use it. In this order, from the repository's root:

  mlrepro init-data ~/holiday                                          look at the pictures and labels, write the settings
  mlrepro plan studies/own-data/params.yaml                            what that would train
  dvc repro studies/own-data/dvc.yaml                                  train and compare: reports/own-data-my-holiday.md
  mlrepro launch studies/own-data/params.yaml --jobs 2                 the same, two trainings at a time
  mlrepro export studies/own-data/params.yaml RUN --to my-model        make the run that the report recommends a folder
  mlrepro predict my-model more/ 'scans/**/*.png' one.jpg              label pictures with it
  mlrepro predict my-model --serve                                     a page to drop pictures on
  mlflow models serve -m my-model/mlflow --env-manager local           label pictures that are posted to it

Exit status: 0 done, 1 some pictures could not be read, 2 refused, 130 interrupted.
"""  # noqa: E501

# Verb -> the module that says what it takes, in the order of --help. Each module has
#   SUMMARY, DESCRIPTION     for the help
#   add_arguments(parser)    what it takes
#   run(arguments)           does it, and returns the exit status
# and imports nothing that takes time before it runs.
VERBS = {
    "init-data": init_data,
    "plan": plan,
    "launch": launch,
    "export": export,
    "predict": predict,
    "audit": audit,
    "unpack": unpack,
}

# The verbs that run in the repository's root, and the file that each reads first: none, the
# settings that it is given. The others run anywhere.
READ_FIRST = {
    "init-data": OWN_DATA / "budgets.yaml",
    "plan": None,
    "launch": None,
    "export": None,
}

# Exit statuses, as argparse and shells have them.
REFUSED = 2
INTERRUPTED = 130


def create_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "mlrepro",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    subparsers = parser.add_subparsers(metavar="VERB", required=True)
    for name, verb in VERBS.items():
        subparser = subparsers.add_parser(name, help=verb.SUMMARY, description=verb.DESCRIPTION)
        verb.add_arguments(subparser)
        subparser.set_defaults(run=verb.run, verb=name)
    return parser


def stop_as_at_ctrl_c() -> None:
    """Makes SIGTERM and SIGHUP end the command as Ctrl-C does, so that no job goes on alone."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        # Under nohup a signal is ignored, and stays so.
        if signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)


def main() -> int:
    """Runs the verb and returns the exit status. A user's error is told without a traceback."""
    stop_as_at_ctrl_c()
    sys.stdout.reconfigure(errors="backslashreplace")  # file names may be no text
    with safe_output():
        arguments = create_parser().parse_args()
        try:
            if arguments.verb in READ_FIRST:
                needed = READ_FIRST[arguments.verb] or Path(arguments.settings)
                require_root(arguments.verb, needed)
            return arguments.run(arguments)
        except (InputError, OSError) as error:
            problem = in_words(error) if isinstance(error, OSError) else None
            print(f"error: {without_secrets(problem or str(error))}", file=sys.stderr)
            return REFUSED
        except KeyboardInterrupt:
            print(
                "interrupted; nothing is half written: run the same command again",
                file=sys.stderr,
            )
            return INTERRUPTED
