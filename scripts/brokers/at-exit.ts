const works = new Set<() => void>();
const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

function runAll(): void {
  for (const work of [...works]) {
    works.delete(work);
    try {
      work();
    } catch (error) {
      console.error(error); // the others still have to end
    }
  }
  unhook();
}

/** Does it all, and then lets the signal end this process as it would have, unless somebody else listens and decides that. */
function onSignal(name: NodeJS.Signals): void {
  const alone = process.listenerCount(name) === 1;
  runAll();
  if (alone) process.kill(process.pid, name);
}

function unhook(): void {
  process.off("exit", runAll);
  for (const name of signals) process.off(name, onSignal);
}

/**
 * Runs the work, which must be synchronous, when this process exits or a signal ends it, unless it was disposed of before.
 * Nothing can run after SIGKILL: what that leaves is for the next start to clean up.
 */
export function atExit(work: () => void): Disposable {
  if (works.size === 0) {
    process.on("exit", runAll);
    for (const name of signals) process.on(name, onSignal);
  }
  works.add(work);
  return {
    [Symbol.dispose]: () => {
      if (works.delete(work) && works.size === 0) unhook();
    },
  };
}
