"""Speed and memory, as ratios against what the machine can do: `python -m benchmarks`."""
