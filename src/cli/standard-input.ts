import { createInterface } from "node:readline";
import type { Terminal } from "./terminal.ts";
import { UsageError } from "./usage-error.ts";

function piped({ stdin }: Terminal): Terminal["stdin"] {
  if (stdin.isTTY !== true) return stdin;
  throw new UsageError("no data: give JSON after the topic, or pipe it in.");
}

export async function readAll(terminal: Terminal): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of piped(terminal))
    chunks.push(typeof chunk === "string" ? Buffer.from(chunk) : (chunk as Uint8Array));
  return Buffer.concat(chunks).toString("utf8");
}

/** Line by line, as fast as they are taken; ends early when interrupted. */
export async function* readLines(terminal: Terminal): AsyncGenerator<string> {
  const lines = createInterface({ input: piped(terminal), crlfDelay: Number.POSITIVE_INFINITY });
  const stop = (): void => lines.close();
  terminal.interrupted.addEventListener("abort", stop, { once: true });
  try {
    yield* lines;
  } finally {
    terminal.interrupted.removeEventListener("abort", stop);
    lines.close();
  }
}
