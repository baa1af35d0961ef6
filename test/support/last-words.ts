/** How Go, Redis, Java, Kafka, Erlang and PostgreSQL begin to say that they end. Less is said of what goes on without it. */
const crash = new RegExp(
  [
    String.raw`^(?:panic|fatal error|SIG[A-Z]+)\b`,
    "REDIS BUG REPORT START",
    "^# (?:A fatal error has been detected by|There is insufficient memory for) the Java Runtime",
    "^Terminating due to java",
    String.raw`^\[.*\] ERROR .* - (?:Encountered fatal fault|Exiting Kafka|Shutdown broker because)`,
    String.raw`^(?:\{")?(?:Kernel pid terminated|Runtime terminating|init terminating)\b`,
    "^[a-z_]+_alloc: Cannot (?:re)?allocate",
    String.raw`^\S+ \S+ \S+ \[\d+\] PANIC: `,
  ].join("|"),
  "m",
);

/** What a server said of its end, or what it said last, since it was ready the last time. */
export function lastWords(log: string, readyLine: RegExp): string {
  const ready = [...log.matchAll(new RegExp(readyLine, "g"))].at(-1)?.index ?? 0;
  const since = log.slice(ready);
  const at = crash.exec(since)?.index;
  return at === undefined ? since.trimEnd().split("\n").slice(-20).join("\n") : since.slice(at, at + 8_000);
}
