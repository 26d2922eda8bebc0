// Runs programs that nobody has read, as runner.py does, each in a context of its own with a time limit.
const assert = require("assert");
const readline = require("readline");
const vm = require("vm");

function kind(problem, timeout) {
  if (timeout(problem)) return "timeout";
  return String((problem && problem.name) || problem);
}

function alone(item, seconds) {
  const milliseconds = Math.ceil(seconds * 1000);
  const slow = (problem) => Boolean(problem) && problem.code === "ERR_SCRIPT_EXECUTION_TIMEOUT";
  const context = vm.createContext(item.test ? { require: () => assert } : {});
  try {
    vm.runInContext(item.source, context, { timeout: milliseconds });
  } catch (problem) {
    return item.calls.map(() => ({ error: kind(problem, slow) }));
  }
  return item.calls.map((call) => {
    try {
      // The context makes the text itself, so that nothing of this process is handed in or out.
      const text = vm.runInContext(`JSON.stringify((${call}))`, context, { timeout: milliseconds });
      return { value: text === undefined ? null : JSON.parse(text) };
    } catch (problem) {
      return { error: kind(problem, slow) };
    }
  });
}

readline.createInterface({ input: process.stdin }).on("line", (line) => {
  const request = JSON.parse(line);
  process.stdout.write(JSON.stringify(request.items.map((item) => alone(item, request.seconds))) + "\n");
});
