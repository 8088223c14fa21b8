"""`python -m synergynet_tf COMMAND ...`, or `synergynet COMMAND ...`: every command of the project by one name."""
import importlib.util
import sys
from types import ModuleType

from synergynet_tf import __version__

# What it does, and the module that does it. Those of `tuning` and `export` lie inside this package where it is installed.
COMMANDS = {
    "predict": ("segment scans with a trained network", "synergynet_tf.predict"),
    "train": ("train a network on your scans, or on phantoms", "synergynet_tf.train"),
    "evaluate": ("score masks against references", "synergynet_tf.evaluate"),
    "prepare": ("check scans, bring raw ones to the network's space, fill the cache", "synergynet_tf.prepare"),
    "experiment": ("compare systems on one cohort, as the paper does", "synergynet_tf.experiment"),
    "phantoms": ("make phantom patients", "synergynet_tf.phantoms"),
    "export_isbi": ("name masks as the ISBI 2015 challenge wants them", "synergynet_tf.export_isbi"),
    "search": ("search gamma, the alphas and other settings", "tuning.search"),
    "export": ("export a network for TF Serving", "export.saved_model"),
    "weights": ("write a trained network as one small file", "export.weights"),
    "verify": ("see that an exported network answers as the trained one", "export.verify"),
    "client": ("send scans to a server", "export.client"),
}


def main(argv: list[str] | None = None) -> int:
    """Run the command that the first argument names, with the other arguments; its exit status is returned."""
    words = sys.argv[1:] if argv is None else argv
    if words[:1] == ["--version"]:
        print(__version__)
        return 0
    if not words or words[0] in ("-h", "--help"):
        print(_usage())
        return 0
    if words[0] not in COMMANDS:
        print(f"error: there is no command {words[0]!r}; the commands are {', '.join(COMMANDS)}", file=sys.stderr)
        return 2
    return _module(COMMANDS[words[0]][1]).main(words[1:])


def _usage() -> str:
    width = max(map(len, COMMANDS))
    lines = "\n".join(f"  {name:{width}}  {what}" for name, (what, _) in COMMANDS.items())
    return f"usage: synergynet COMMAND ...   (synergynet COMMAND --help says more; --version)\n\n{lines}"


def _module(name: str) -> ModuleType:
    inside = name if name.startswith("synergynet_tf.") else f"synergynet_tf.{name}"
    installed = importlib.util.find_spec(inside.rpartition(".")[0])
    return importlib.import_module(inside if installed else name)


if __name__ == "__main__":
    sys.exit(main())
