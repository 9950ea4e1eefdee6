import re

import pytest


@pytest.fixture
def sentence_of(capsys):
    """Makes of a command the function that returns the one sentence with which it fails."""

    def sentence_of(command):
        def mistake(*arguments, **options):
            with pytest.raises(SystemExit) as ended:
                command(*arguments, **options)
            assert ended.value.code == 2
            sentence = capsys.readouterr().err
            assert sentence.count("\n") == 1
            assert not re.search(r"Traceback|Error:|[│╭╰]", sentence)
            return sentence.strip()

        return mistake

    return sentence_of
