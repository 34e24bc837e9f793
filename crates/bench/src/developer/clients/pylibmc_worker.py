"""One client, pylibmc, one kind of work, for a while.

It prints one line: operations, misses, nanoseconds of CPU time, nanoseconds of time.
"""

import random
import sys
import time

import pylibmc

work, seconds, keys, keys_per_get = sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
nodes = sys.argv[5:]
# What ketama_weighted needs and nothing that costs: values are bytes and stay so.
client = pylibmc.Client(nodes, behaviors={"ketama_weighted": True, "tcp_nodelay": True})
names = [f"note:{number:08}" for number in range(keys)]
chosen = random.Random(0)

if work == "get":
    order = [names[chosen.randrange(keys)] for _ in range(100_000)]

    def once(turn, get=client.get, order=order):
        return get(order[turn % 100_000]) is None

else:
    starts = [chosen.randrange(keys - keys_per_get) for _ in range(10_000)]
    order = [names[start : start + keys_per_get] for start in starts]

    def once(turn, get=client.get_multi, order=order):
        return keys_per_get - len(get(order[turn % 10_000]))


def run(span):
    turns = misses = 0
    begun, cpu = time.perf_counter_ns(), time.process_time_ns()
    end = begun + int(span * 1e9)
    while time.perf_counter_ns() < end:
        for turn in range(turns, turns + 64):
            misses += once(turn)
        turns += 64
    return turns, misses, time.process_time_ns() - cpu, time.perf_counter_ns() - begun


run(0.2)
print(*run(seconds))
