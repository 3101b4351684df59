import dataclasses
import json

import pytest

from arcadia.errors import UserError
from arcadia.options import flags, parse
from pipelines.stylization.config import PRESETS, StyleOptions, options_from, preset
from pipelines.stylization.job import StylizeOptions


def test_the_defaults_are_the_papers():
    options = StyleOptions()
    assert (options.content_weight, options.style_weight, options.temporal_weight) == (1, 20, 200)
    assert options.spans == (1, 2, 4)
    assert options.content_layers == ("relu4_2",)
    assert options.style_layers == tuple(f"relu{block}_1" for block in range(1, 6))
    assert (options.iterations_first, options.iterations) == (2000, 1000)
    assert (options.stop_change, options.stop_window, options.history) == (1e-4, 50, 100)
    assert (options.start_first, options.start) == ("random", "warped")
    multi = preset("multipass")
    assert (multi.passes, multi.pass_iterations, multi.first_temporal_pass) == (15, 100, 8)
    assert (multi.multipass_temporal_weight, multi.blend) == (100, 0.5)


@pytest.mark.parametrize("name", PRESETS)
def test_options_are_the_same_after_json(name: str):
    options = preset(name, style_layers=("relu1_1",))
    assert options_from(json.loads(json.dumps(dataclasses.asdict(options)))) == options


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        (dict(size=8), "size 8: must be from 16 to 100000"),
        (dict(style_weight=-1), r"style_weight -1: must be from 0 to 1e\+09"),
        (dict(style_weight=float("nan")), "style_weight nan: must be"),
        (dict(iterations=0), "iterations 0: must be at least 1"),
        (dict(optimiser="lbfsg"), 'optimiser "lbfsg": must be .*did you mean "lbfgs"'),
        (dict(start="wraped"), 'did you mean "warped"'),
        (dict(flow="dis"), 'flow "dis": must be dis_fine'),
        (dict(spans=(2, 1)), "spans 2 1: must ascend from 1"),
        (dict(spans=(0, 1)), "spans 0 1: must ascend"),
        (dict(spans=(1, 1)), "spans 1 1: must ascend"),
        (dict(content_layers=()), "content_layers: must name at least one layer"),
        (dict(style_layers=("relu1_3",)), 'style_layers "relu1_3": vgg16 has relu1_1 to relu5_3'),
        (dict(content_layers=("rleu4_2",)), 'did you mean "relu4_2"'),
        (dict(content_layers=("relu4_4",)), 'content_layers "relu4_4": vgg16'),
        (dict(flow="files"), "files of your own need both"),
        (dict(flow_dir="x"), "files of your own need both"),
        (dict(passes=3, segment_frames=9), "leave one of the two out"),
        (dict(blend=1.5), "blend 1.5: must be from 0 to 1"),
    ],
)
def test_a_bad_value_is_refused_by_its_name(values, complaint: str):
    with pytest.raises(UserError, match=complaint):
        StyleOptions(**values)


def test_vgg19_has_layers_of_its_own():
    assert StyleOptions(network="vgg19", content_layers=("relu4_4",)).content_layers


def test_unknown_presets_and_options_are_named():
    with pytest.raises(UserError, match='preset "fats": nothing of that name; did you mean "fast"'):
        preset("fats")
    with pytest.raises(UserError, match="options swirl: this version does not know them"):
        options_from({"swirl": 1})


def test_the_search_takes_its_step_by_its_kind():
    assert StyleOptions().optimiser_options().learning_rate == 1
    assert StyleOptions(optimiser="adam").optimiser_options().learning_rate == 10
    assert StyleOptions(learning_rate=0.5).optimiser_options().learning_rate == 0.5


def test_the_command_line_has_every_option():
    names = {f"--{f.name.replace('_', '-')}" for f in dataclasses.fields(StyleOptions)}
    assert names <= set(flags(StylizeOptions))


def test_words_become_options_over_those_of_the_preset():
    default = StylizeOptions(preset="draft", options=preset("draft"))
    words = ["a.mp4", "b.mp4", "--style", "s.png", "--spans", "1", "3", "--iterations", "7"]
    command = parse(StylizeOptions, words, "arcadia stylize", default)
    assert command.videos == ("a.mp4", "b.mp4") and command.style == "s.png"
    assert command.options == preset("draft", spans=(1, 3), iterations=7)
    none = parse(StylizeOptions, ["a.mp4", "--style", "s.png", "--spans"], "arcadia stylize")
    assert none.options.spans == ()
