/**
 * Takes Node 22's warning that `node:sqlite` is experimental off the terminal of whoever runs a command: it would stand before
 * every answer. Other warnings are printed as before.
 */
export function quietWarnings(process: Pick<NodeJS.Process, "listeners" | "removeAllListeners" | "on">): void {
  const listeners = process.listeners("warning");
  process.removeAllListeners("warning");
  process.on("warning", (warning) => {
    if (warning.name === "ExperimentalWarning" && warning.message.includes("SQLite")) return;
    for (const listener of listeners) listener(warning);
  });
}
