import { DatabaseSync } from "node:sqlite";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { envelopes } from "./message.ts";
import { median } from "./spread.ts";

const messages = 102_400;
const rounds = 5;
/** As the reference was measured: JSON that is there already. */
export const readyBytes = 250;

export interface InsertRate {
  /** Inserts in one transaction. */
  readonly batch: number;
  /** Rows a second, all bytes ready: the best of five. */
  readonly ready: number;
  /** Measured earlier, by itself, on a machine whose fdatasync takes 0.06 ms. */
  readonly reference: number;
}

export interface InsertRates {
  readonly rates: readonly InsertRate[];
  /** The envelopes of the bare programs. */
  readonly envelopeBytes: number;
  /** Making and encoding one of them. */
  readonly envelopeMicros: number;
}

const references = [
  [64, 262_000],
  [512, 546_000],
] as const;

/** What SQLite takes of bytes that are there already, beside the envelope that the bare programs make: why they are slower. */
export function insertRates(directory: string, bytes: number): InsertRates {
  mkdirSync(directory, { recursive: true });
  const envelope = envelopes(bytes);
  const encode = (at: number): Buffer => Buffer.from(JSON.stringify(envelope(at)));
  const spent = Array.from({ length: rounds }, () => {
    const started = performance.now();
    for (let at = 0; at < messages; at++) encode(at);
    return ((performance.now() - started) * 1_000) / messages;
  });
  return {
    rates: references.map(([batch, reference]) => ({
      batch,
      reference,
      ready: Math.max(...Array.from({ length: rounds }, () => insertRate(directory, batch))),
    })),
    envelopeBytes: encode(0).length,
    envelopeMicros: median(spent),
  };
}

function insertRate(directory: string, batch: number): number {
  const folder = mkdtempSync(join(directory, "insert-"));
  const body = Buffer.alloc(readyBytes, "n");
  const db = new DatabaseSync(join(folder, "insert.db"));
  try {
    db.exec(
      "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE log (position INTEGER PRIMARY KEY, body BLOB)",
    );
    const insert = db.prepare("INSERT INTO log (body) VALUES (?)");
    const started = performance.now();
    for (let done = 0; done < messages; done += batch) {
      db.exec("BEGIN");
      for (let at = 0; at < batch; at++) insert.run(body);
      db.exec("COMMIT");
    }
    return messages / ((performance.now() - started) / 1_000);
  } finally {
    db.close();
    rmSync(folder, { recursive: true, force: true });
  }
}
