"""python metaflow_run.py chain|fan COUNT: steps that do nothing, a process each; prints the seconds of the run."""
import subprocess
import sys
import time

shape, count = sys.argv[1], int(sys.argv[2])
lines = ["from metaflow import FlowSpec, step", "class Measured(FlowSpec):"]


def add(name: str, body: str, signature: str = "self") -> None:
    lines.extend(["    @step", f"    def {name}({signature}):", f"        {body}"])


if shape == "chain":  # of count steps, with the two that every flow has
    names = ["start", *(f"s{i}" for i in range(count - 2)), "end"]
    for name, following in zip(names, names[1:]):
        add(name, f"self.next(self.{following})")
else:
    add("start", f"self.items = list(range({count})); self.next(self.each, foreach='items')")
    add("each", "self.next(self.join)")
    add("join", "self.next(self.end)", "self, inputs")
add("end", "pass")
lines.extend(["if __name__ == '__main__':", "    Measured()"])
with open("measured.py", "w") as file:
    file.write("\n".join(lines) + "\n")
flags = ["--max-workers", "8", "--max-num-splits", "10000"]
begun = time.monotonic()
subprocess.run([sys.executable, "measured.py", "--quiet", "run", *flags], check=True, stdout=sys.stderr)
print(time.monotonic() - begun)
