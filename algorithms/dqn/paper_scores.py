"""Table 1 of Mnih et al. 2013: mean scores of the paper's seven games."""

TABLE_1: dict[str, dict[str, float]] = {
    "beam_rider": {"Random": 354, "Human": 7456, "DQN": 4092, "DQN best": 5184},
    "breakout": {"Random": 1.2, "Human": 31, "DQN": 168, "DQN best": 225},
    "enduro": {"Random": 0, "Human": 368, "DQN": 470, "DQN best": 661},
    "pong": {"Random": -20.4, "Human": -3, "DQN": 20, "DQN best": 21},
    "qbert": {"Random": 157, "Human": 18900, "DQN": 1952, "DQN best": 4500},
    "seaquest": {"Random": 110, "Human": 28010, "DQN": 1705, "DQN best": 1740},
    "space_invaders": {"Random": 179, "Human": 3690, "DQN": 581, "DQN best": 1075},
}
"""By ROM name; "DQN best" is the best single episode."""
