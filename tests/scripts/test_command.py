import os
import sys

import matplotlib.figure
import pytest
from command import Parser, UserError, as_user_errors, import_quietly, new_folder, run, save_figure


def parser():
    parser = Parser()
    parser.add_argument("--number", type=int, default=0)
    return parser


def test_run_passes_the_arguments_on():
    given = []
    run(given.append, parser(), ["--number", "3"])
    assert given[0].number == 3


def test_a_users_mistake_is_one_sentence_and_exit_code_2(capsys):
    def main(arguments):
        raise UserError("A sentence\n  over two lines.")

    with pytest.raises(SystemExit) as ended:
        run(main, parser(), [])
    assert ended.value.code == 2
    assert capsys.readouterr() == ("", "A sentence over two lines.\n")


def test_a_wrong_argument_is_one_too(capsys):
    with pytest.raises(SystemExit) as ended:
        run(print, parser(), ["--number", "three"])
    assert ended.value.code == 2
    assert capsys.readouterr().err == (
        "Argument --number: invalid int value: 'three'; --help lists what can be given.\n"
    )


def test_an_interruption(capsys):
    def main(arguments):
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as ended:
        run(main, parser(), [])
    assert ended.value.code == 130
    assert capsys.readouterr().err == "Interrupted.\n"


def test_other_errors_keep_their_traceback():
    def main(arguments):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(main, parser(), [])


def test_only_the_types_named_become_user_errors():
    with pytest.raises(UserError, match="wrong"), as_user_errors(ValueError, OSError):
        raise ValueError("wrong")
    with pytest.raises(TypeError), as_user_errors(ValueError, OSError):
        raise TypeError


def test_importing_quietly_leaves_stderr_open(capfd):
    import_quietly()
    os.write(2, b"still there\n")
    print("and here", file=sys.stderr)
    assert capfd.readouterr().err == "still there\nand here\n"


def test_a_new_folder_is_made_and_left_empty(tmp_path):
    folder = new_folder(tmp_path / "a" / "b")
    assert folder.is_dir()
    assert not list(folder.iterdir())
    assert new_folder(folder) == folder


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError) as raised:
        new_folder(tmp_path / "file" / "out")
    assert str(raised.value) == (
        f"The output folder {tmp_path / 'file' / 'out'} cannot be written to (Not a directory): "
        "give another --out."
    )


def test_a_figure_is_written_whole_or_not_at_all(tmp_path):
    class Torn:
        def savefig(self, file, **options):
            with open(file, "w") as file:
                file.write("half of it")
            raise OSError("No space left on device")

    save_figure(matplotlib.figure.Figure((1, 1)), tmp_path / "a.png")
    before = (tmp_path / "a.png").read_bytes()
    assert before.startswith(b"\x89PNG")
    with pytest.raises(OSError, match="No space"):
        save_figure(Torn(), tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes() == before
