from arcadia.errors import did_you_mean, nearest, readable


def test_the_nearest_name_is_found_whatever_its_case():
    assert nearest("pnog", ["breakout", "pong"]) == "pong"
    assert nearest("PNOG", ["breakout", "Pong"]) == "Pong"


def test_nothing_is_offered_when_nothing_is_near():
    assert nearest("tetris", ["breakout", "pong"]) is None
    assert nearest("pong", []) is None


def test_the_offer_ends_a_message_and_is_empty_without_one():
    assert did_you_mean("pnog", ["pong"]) == '; did you mean "pong"?'
    assert did_you_mean("tetris", ["pong"]) == ""


def test_what_does_not_show_is_escaped():
    assert readable("Café №5 🦊") == "Café №5 🦊"
    assert readable("a\0b\x1b[2Jc\u202ed\udcff") == r"a\x00b\x1b[2Jc\u202ed\udcff"
