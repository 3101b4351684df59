"""Who is measured by `benchmarks.dqn_throughput`; each in a process of its own.

All play Breakout (h-DQN and its peer: Montezuma's Revenge) in eight environments with epsilon 0.1,
grey 84x84 pictures, the maximum of two frames and frame skip 4, with the network of Mnih et al.
2013, a target network, Adam, the Huber loss and one-step targets: minibatches of 32, one update for
every four steps.
"""
