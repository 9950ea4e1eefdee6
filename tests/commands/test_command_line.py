import resource
import subprocess
import sys
from pathlib import Path

import pytest

from kerasvis.commands.command_line import application, run, shown_default

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = [name for name in application if name[0] != "-"]


@pytest.fixture
def command_that_raises():
    """Adds a command that raises an error as soon as it runs."""

    def add(error):
        def broken():
            raise error

        application.command(broken)

    yield add
    del application["broken"]


@pytest.mark.parametrize(
    "error", [ValueError("A sentence\n  over two."), OSError("A sentence over two.")]
)
def test_a_users_mistake_is_one_sentence_and_exit_code_2(command_that_raises, capsys, error):
    command_that_raises(error)
    with pytest.raises(SystemExit) as ended:
        run(["broken"])
    assert ended.value.code == 2
    assert capsys.readouterr() == ("", "A sentence over two.\n")


def test_an_interruption(command_that_raises, capsys):
    command_that_raises(KeyboardInterrupt)
    with pytest.raises(SystemExit) as ended:
        run(["broken"])
    assert ended.value.code == 130
    assert capsys.readouterr().err == "Interrupted.\n"


INTERRUPTED_WHERE_PYTHON_IGNORES_IT = """
import signal
import time
from kerasvis.commands.command_line import application, run

signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background job ignores

class Interrupting:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)

@application.command
def interrupted():
    Interrupting()
    for _ in range(1000):
        time.sleep(0.01)

run(["interrupted"])
"""


def test_an_interruption_of_a_destructor():
    command = [sys.executable, "-c", INTERRUPTED_WHERE_PYTHON_IGNORES_IT]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "Interrupted.\n")


def test_other_errors_keep_their_traceback(command_that_raises):
    command_that_raises(ZeroDivisionError)
    with pytest.raises(ZeroDivisionError):
        run(["broken"])


MISTAKES = {
    "unknown command": ("featurs", 'Unknown command "featurs". Did you mean "features"?'),
    "unknown option": (
        "features --model m --images a --rule relaxed",
        "Unknown option: --rule. Did you mean --rules?",
    ),
    "misspelt": ("features --images a --modell m", "Did you mean --model instead of --modell?"),
    "no option": ("features --model m --images a --k 3 b", "No option takes 'b'; --help lists"),
    "missing": ("features --images demo", "--model is required; --help lists"),
    "no value": ("features --images demo --model", "--model takes a value; --help lists"),
    "one of two": ("features --model m --image-size 3", "--image-size takes 2 values, not 1;"),
    "three of two": (
        "occlusion --model m --images a --strides 1 2 3",
        "--strides takes 1 to 2 values, not 3;",
    ),
    "none of many": ("features --model m --layers --k 3", "--layers takes 1 or more values, not 0"),
    "a choice": (
        "export --model m --layer a --rectification relu",
        "--rectification takes one of deconvnet, guided, gradient. Received: --rectification=relu",
    ),
    "a flag": (
        "features --model m --images a --strict=maybe",
        "--strict takes true or false. Received: --strict=maybe",
    ),
    "a long one": (
        f"features --model m --images a --k {'9' * 200}",
        f"Received: --k={'9' * 80}…",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_what_cannot_be_parsed_is_one_sentence(sentence_of, mistake):
    arguments, sentence = MISTAKES[mistake]
    assert sentence in sentence_of(run)(arguments.split())


def test_escape_sequences_of_arguments_do_not_reach_the_terminal(sentence_of):
    sentence = sentence_of(run)(["export", "--model", "a", "--layer", "b", "--rules", "\x1b[31m"])
    assert sentence.endswith(r"Received: --rules=\x1b[31m")


def test_the_last_of_an_option_that_is_repeated_counts():
    given = "features --model m.keras --images demo --k 3 --k 4 --layers a b".split()
    _, bound, _ = application.parse_args(given)
    assert bound.arguments["shown"].k == 4
    assert bound.arguments["layers"] == ("a", "b")


@pytest.mark.parametrize(
    ("value", "expected"),
    [((), None), (None, None), (False, None), (0, "0"), (0.0, "0.0"), ((1, 2), "1 2"), ("a", "a")],
)
def test_a_default_as_it_would_be_given(value, expected):
    assert shown_default(value) == expected


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command, capsys):
    run([command, "--help"])
    printed = capsys.readouterr().out
    assert printed.startswith(f"Usage: kerasvis {command} ")
    assert "Namespace" not in printed


@pytest.mark.parametrize("command", sorted(set(COMMANDS) - {"completion"}))
def test_no_command_takes_more_than_seven_arguments(command):
    assert len(application[command].default_command.__annotations__) - 1 <= 7


@pytest.mark.parametrize("arguments", [["--help"], ["occlusion", "--help"], ["occlusion", "--k"]])
def test_help_and_refusals_start_neither_keras_nor_numpy(arguments):
    program = (
        "import sys\n"
        "from kerasvis.commands.command_line import run\n"
        "try:\n"
        f"    run({arguments})\n"
        "finally:\n"
        "    print(*sys.modules, file=sys.stderr)\n"
    )
    begin = resource.getrusage(resource.RUSAGE_CHILDREN)
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT
    )
    end = resource.getrusage(resource.RUSAGE_CHILDREN)  # the processor's time: others may work
    assert end.ru_utime + end.ru_stime - begin.ru_utime - begin.ru_stime < 1
    modules = set(ended.stderr.split())
    assert "kerasvis.commands.occlusion" in modules
    assert not modules & {"keras", "matplotlib", "numpy", "tensorflow"}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell, capsys):
    run(["completion", shell])
    script = capsys.readouterr().out
    assert "unit-invariance" in script
    assert "patch-size" in script


def test_the_bash_completion_completes():
    program = (
        f'eval "$({sys.executable} -m kerasvis completion bash)"\n'
        "COMP_WORDS=(kerasvis occlusion --patch-s) COMP_CWORD=2\n"
        "_kerasvis; echo ${COMPREPLY[@]}"
    )
    ended = subprocess.run(["bash", "-c", program], capture_output=True, text=True, cwd=ROOT)
    assert ended.stdout.split() == ["--patch-size"], ended.stderr


def test_every_script_runs_its_command(monkeypatch):
    """Three lines each; none of them is left out here, and no command is without a script."""
    ran = []
    monkeypatch.setattr("kerasvis.__main__.main", lambda *command: ran.append(*command))
    scripts = sorted((ROOT / "scripts").glob("*.py"))
    for script in scripts:
        exec(compile(script.read_text(encoding="utf-8"), script, "exec"), {})
    assert sorted(ran) == sorted(set(COMMANDS) - {"completion"})


@pytest.mark.parametrize(
    "command", [["scripts/visualize_features.py"], ["-m", "kerasvis", "features"]]
)
def test_as_a_process(command, tmp_path):
    command = [sys.executable, *(ROOT / x if "/" in x else x for x in command)]
    given = ["--model", "missing.keras", "--images", "demo"]
    ended = subprocess.run([*command, *given], capture_output=True, text=True, cwd=tmp_path)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == (
        "There is no such model file: give a file that model.save() wrote, or the name of a model "
        "of keras.applications. Received: --model=missing.keras\n"
    )
    assert not list(tmp_path.iterdir())


def test_nobody_reads_on():
    command = f"{sys.executable} -m kerasvis features --help | true"
    ended = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=ROOT)
    assert ended.stderr == ""
