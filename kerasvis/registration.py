"""What a saved model may hold of kerasvis is registered with Keras, without importing Keras for it.

`import kerasvis` is cheap, so that `kerasvis --help` is. But a model's file names the layers of
kerasvis in it, and Keras has to know them when it reads the file. Whichever of Keras and kerasvis
is imported first, they are registered as soon as both are there.
"""

import importlib
import importlib.util
import sys

# All that is registered lies in these.
_REGISTERED = ("kerasvis.layers", "kerasvis.deconvnet")
# Parts of kerasvis that are of use without Keras, and what of them needs it all the same.
_WITHOUT_KERAS = ("__main__", "commands", "data", "engines", "figures", "registration", "storage")
_WITH_KERAS = ("data.known_models",)


def register() -> None:
    """Registers what a model's file may hold of kerasvis, now or once Keras is imported."""
    if "keras" in sys.modules:
        _import_registered()
    else:
        sys.meta_path.insert(0, _AtImportOfKeras())


def _import_registered():
    for name in _REGISTERED:
        importlib.import_module(name)


class _AtImportOfKeras:
    """A finder of modules that lets Keras be found as ever, and registers once it is imported.

    Parts of kerasvis that need Keras import it first, so that none is half imported by then.
    """

    def find_spec(self, fullname, path=None, target=None):
        if fullname == "keras":
            return self._spec_of_keras()
        package, _, part = fullname.partition(".")
        is_light = part.partition(".")[0] in _WITHOUT_KERAS and part not in _WITH_KERAS
        if package == "kerasvis" and not is_light:
            importlib.import_module("keras")
        return None

    def _spec_of_keras(self):
        sys.meta_path.remove(self)
        try:
            spec = importlib.util.find_spec("keras")
        finally:
            sys.meta_path.insert(0, self)
        if spec is not None:
            spec.loader.exec_module = self._registering_after(spec.loader.exec_module)
        return spec

    def _registering_after(self, execute):
        def exec_module(module):
            execute(module)
            if self in sys.meta_path:
                sys.meta_path.remove(self)
            _import_registered()

        return exec_module
