"""Run folders whose parts are missing, damaged, of another type or from another version."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from tests.malformed.cases import Case, Entry, Folder, Pipe, Tree, damaged, described

# By the folder of a run: commands that read it, and those that go on with it.
_COMMANDS = {
    "dqn": ("evaluate dqn", "watch dqn", "export dqn", "report dqn", "train dqn --resume dqn"),
    "chain": ("report chain", "train hdqn --resume chain"),
    "colorizer": ("report colorizer", "train colorizer --resume colorizer"),
    "sequence": ("report sequence", "evaluate sequence", "train sequence --resume sequence"),
    "painted": ("report painted", "stylize --resume painted"),
    "colored": ("report colored", "colorize --resume colored"),
    "seeds": ("report seeds", "evaluate seeds", "train dqn --resume seeds"),
}
_LONG = "a" * 300
_NOT_JSON = {
    "no JSON": b"{",
    "a list": b"[]",
    "a number": b"3",
    "nothing": b"null",
    "not UTF-8": b"\xff\xfe\x00",
    "NaN": b"NaN",
    "deep": b"[" * 100_000,
}
_OF_RUN: dict[str, dict[str, Any]] = {
    "no kind": {"kind": None},
    "a number for its kind": {"kind": 5},
    "an unknown kind": {"kind": "dqm"},
    "a newer format": {"format": 99},
    "words for its format": {"format": "new"},
    "a list for its status": {"status": []},
    "words for its seed": {"seed": "one"},
    "a broken number for its seed": {"seed": 1.5},
    "a number for its history": {"history": 5},
    "a list for its details": {"details": []},
}
_OF_CONFIG: dict[str, Any] = {
    "no options": None,
    "a list for its options": [],
    "words for its options": "fast",
    "an unknown option": {"no_such_option": 1},
}
_OF_OPTIONS = {
    "dqn": (
        {"lr": "fast"},
        {"lr": float("nan")},
        {"batch_size": 1.5},
        {"double": "yes"},
        {"env": 5},
        {"env": "os.abort"},
        {"env": "nowhere:Env-v0"},
        {"frame_stack": 10**9},
    ),
    "chain": ({"episodes": "many"}, {"lr": float("inf")}, {"num_seeds": 2.5}),
    "colorizer": ({"steps": "all"}, {"network": 5}, {"network": {"width": []}}, {"alpha": True}),
    "sequence": ({"task": "singing"}, {"hidden_size": "wide"}, {"steps": [1]}, {"curriculum": 3}),
    "painted": ({"spans": 5}, {"spans": ["1"]}, {"size": "large"}, {"network": "vgg99"}),
}


def run_cases() -> Iterator[Case]:
    """All of them."""
    for folder, commands in _COMMANDS.items():
        # A report shows its options, whatever they are; `export` asks the policy's own.
        reading = [w for w in commands if w.partition(" ")[0] not in ("report", "export")]
        number = 0
        for name, data in _NOT_JSON.items():
            for file in ("run.json", "config.json"):
                words = commands[number % len(commands)]
                number += 1
                yield _case(f"{words}, {file} is {name}", words, folder, {f"{folder}/{file}": data})
        for name, change in _OF_RUN.items():
            words = commands[number % len(commands)]
            number += 1
            yield _case(
                f"{words}, run.json has {name}", words, folder, _edit(folder, "run", change)
            )
        if folder not in _OF_OPTIONS:
            continue
        for number, (name, options) in enumerate(_OF_CONFIG.items()):
            words = reading[number % len(reading)]
            change = _edit(folder, "config", {"options": options})
            yield _case(f"{words}, config.json has {name}", words, folder, change)
        for values in _OF_OPTIONS[folder]:
            for words in reading:
                name = json.dumps(values)
                said = "" if "env" in values else folder  # what has an environment names that
                change = _edit_options(folder, values)
                yield _case(f"{words}, options have {name}", words, said, change, folder)
    yield from _described()
    yield from _missing()
    yield from _files()


def _case(
    name: str, words: str, said: str, change: Callable[[Tree], Tree] | Tree, folder: str = ""
) -> Case:
    made = change if callable(change) else lambda whole: change
    needs = (folder or said, "data")
    return Case(name=name, words=tuple(words.split()), needs=needs, change=made, said=said)


def _described() -> Iterator[Case]:
    """Policies that say something else of themselves than is in them."""
    policy = "dqn/checkpoints/000000007/policy.safetensors"
    network = {"observation_shape": [1, 4], "num_actions": 2, "hidden_size": 8, "dueling": True}
    for name, words in {
        "a network larger than any memory": {"network": network | {"hidden_size": 1 << 40}},
        "a network of a huge picture": {
            "network": network | {"observation_shape": [4, 1 << 20, 1 << 20]}
        },
        "another network": {"network": network | {"hidden_size": 9}},
        "an unknown network": {
            "network": network | {"network": "nips2099", "observation_shape": [4, 84, 84]}
        },
        "a network of words": {"network": "large"},
        "a network without a shape": {"network": {"num_actions": 2}},
        "a negative number of actions": {"actions": [-2, 0]},
        "actions of words": {"actions": "left"},
        "an unknown option": {"options": {"lrr": 1}},
        "options of another type": {"options": {"env": "CartPole-v1", "lr": "fast"}},
        "options that are a list": {"options": []},
        "another format": {"format": "arcadia-dqn-policy-99"},
    }.items():
        for command in ("evaluate dqn", "export dqn"):

            def change(whole: Tree, words: dict[str, Any] = words) -> Tree:
                own = {k: v if k == "format" else json.dumps(v) for k, v in words.items()}
                made = described(whole[policy], own)
                manifest = f"{policy.rpartition('/')[0]}/MANIFEST.json"
                return {policy: made, manifest: _relisted(whole[manifest], made)}

            yield _case(f"{command}, policy with {name}", command, "policy", change, "dqn")


def _relisted(manifest: Entry, policy: bytes) -> bytes:
    assert isinstance(manifest, bytes)
    listed = json.loads(manifest)
    listed["files"]["policy.safetensors"]["size_bytes"] = len(policy)
    return json.dumps(listed).encode()


def _missing() -> Iterator[Case]:
    for words, said in (
        ("report nowhere", "no such folder"),
        ("report dqm", "no such folder"),
        ("report photo.png", "is a file"),
        ("report photos", "holds no run"),
        ("evaluate dqn dqn", "is given twice"),
        ("evaluate dqn sequence", "evaluate them apart"),
        ("evaluate dqn --checkpoint 8", "there is last, 7"),
        ("evaluate dqn --checkpoint best", "no best checkpoint"),
        ("evaluate dqn --checkpoint ../../x", "none of that name"),
        ("evaluate colorizer", "--data"),
        ("evaluate colorizer --data nowhere", "nowhere"),
        ("evaluate colorizer --data data --images 0", "images"),
        ("evaluate chain", "nothing to evaluate"),
        ("watch colorizer", "does not play"),
        ("export sequence", "network.safetensors"),
        ("watch dqn --checkpoint last --run-dir out", "leave it out"),
        ("report dqn --run-dir out", "leave it out"),
        ("train dqn --resume colorizer", "colorizer"),
        ("train hdqn --resume dqn", "dqn"),
        ("train colorizer --resume dqn", "dqn"),
        ("train sequence --resume nowhere", "nowhere"),
        ("train dqn --resume dqn --lr 0.5", "lr"),
        ("train sequence --resume sequence --hidden-size 9", "hidden_size"),
        ("train hdqn --resume chain --episodes 9", "episodes"),
        ("train dqn --resume dqn --seed 2", "seed"),
        ("train hdqn --env chain --address 127.0.0.1:1", "address"),
        ("stylize --resume dqn", "dqn"),
        ("colorize --resume dqn", "dqn"),
        ("colorize photo.png --run dqn", "dqn"),
        ("train dqn --game pong --run-dir dqn", "already holds a run"),
        ("tune sweep.py --run-dir dqn", "sweep.py"),
        ("tune --resume nowhere", "no such folder"),
        ("tune --resume dqn", "no sweep"),
        ("tune --resume sweep", "sweep"),
        ("tune sweep.py --resume sweep", "sweep"),
        ("evaluate sweep", "sweep"),
        ("evaluate seeds", "seeds"),
        ("watch seeds", "seeds"),
        ("report ftpx://host/x", "no such storage"),
        ("report s3://", "names no bucket"),
        ("report file:///nowhere/at/all", "no such folder"),
        (f"report {_LONG}", "File name too long"),
        (f"train dqn --resume {_LONG}", "File name too long"),
        (f"train dqn --game pong --run-dir {_LONG}", "File name too long"),
        (f"colorize {_LONG} --weights net.safetensors", "File name too long"),
        (f"stylize {_LONG} --style photo.png", "File name too long"),
        (f"places prepare {_LONG} out", "File name too long"),
        (f"places prepare photos {_LONG}", "File name too long"),
        (f"tune {_LONG}", "File name too long"),
        (f"train sequence --task language --data {_LONG}", "File name too long"),
        (f"train dqn --env {_LONG}", "no such environment"),
        ("train dqn --game pong --run-dir photo.png", "Not a directory"),
        ("train sequence --run-dir photo.png/run", "Not a directory"),
        ("train colorizer --data data --run-dir photo.png", "Not a directory"),
        ("stylize film.mp4 --style photo.png --run-dir photo.png", "Not a directory"),
        ("train dqn --env sys.exit", "is no environment"),
        ("train dqn --env nowhere.Env", "cannot be loaded"),
        ("train hdqn --env CartPole-v1", "has no goals"),
        ("train hdqn --env KeyDoor-v0 --goals os:abort", "is no GoalSpace"),
        ("train hdqn --env KeyDoor-v0 --goals nowhere:Goals", "cannot be loaded"),
        ("train hdqn --env KeyDoor-v0 --goals ::", "module:Class"),
        ("train dqn --game ../../etc/passwd", "no such ROM"),
        ("train dqn --game pong --address here", "host:port"),
        ("train dqn --game pong --address host:99999", "host:port"),
        ("evaluate dqn --num-env-runners 1 --address ray://", "host:port"),
        ("evaluate sequence --address 127.0.0.1:1", "leave it out"),
    ):
        needs = ("dqn", "chain", "colorizer", "sequence", "seeds", "photo.png", "photos", "data")
        needs += ("sweep",)
        needs += ("sweep.py", "film.mp4", "net.safetensors")
        yield Case(name=words, words=tuple(words.split()), needs=needs, said=said)


def _files() -> Iterator[Case]:
    """What else is in runs."""
    policy = "dqn/checkpoints/000000007/policy.safetensors"
    for words in ("evaluate dqn", "watch dqn", "export dqn"):
        yield from damaged(f"policy of {words}", words, policy, without=())
    network = "sequence/checkpoints/000000005/network.safetensors"
    yield from damaged("network of a sequence run", "evaluate sequence", network)
    coloring = "colorizer/checkpoints/000000005/colorizer.safetensors"
    yield from damaged(
        "network of a colorizer run", "evaluate colorizer --data data", coloring, needs=("data",)
    )
    words = "train colorizer --resume colorizer"
    done = "colorizer/checkpoints/000000005/done.json"
    yield from damaged("done.json of a colorizer run", words, done, needs=("data",))
    manifest = "dqn/checkpoints/000000007/MANIFEST.json"
    for name, data in _NOT_JSON.items():
        yield _case(f"a list of files that is {name}", "evaluate dqn", "dqn", {manifest: data})
    for name, entry in (
        ("evaluation.json", b"{}"),
        ("evaluation.json", b"[]"),
        ("held_out.npz", b"no archive"),
        ("value.png", b"no picture"),
        ("watch.mp4", b"no film"),
        ("watch.mp4", Folder()),
    ):
        shown = "a folder" if isinstance(entry, Folder) else entry.decode()
        yield _case(f"report with {name}: {shown}", "report dqn", "dqn", {f"dqn/{name}": entry})
    yield _case("a run that is a pipe", "report dqn", "run.json", {"dqn/run.json": Pipe()})


def _edit(folder: str, file: str, change: dict[str, Any]) -> Callable[[Tree], Tree]:
    def edited(whole: Tree) -> Tree:
        path = f"{folder}/{file}.json"
        data = whole[path]
        assert isinstance(data, bytes)
        values = json.loads(data) | change
        return {path: json.dumps({k: v for k, v in values.items() if v is not None}).encode()}

    return edited


def _edit_options(folder: str, values: dict[str, Any]) -> Callable[[Tree], Tree]:
    def edited(whole: Tree) -> Tree:
        data = whole[f"{folder}/config.json"]
        assert isinstance(data, bytes)
        return _edit(folder, "config", {"options": json.loads(data)["options"] | values})(whole)

    return edited
