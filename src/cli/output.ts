import type { Writable } from "node:stream";
import { jsonText } from "./printable.ts";
import { type Column, table } from "./table.ts";

export class ClosedPipe extends Error {}

/** Standard output: tables for people, JSON lines for programs. */
export class Output {
  readonly human: boolean;
  readonly #stream: Writable;
  readonly #closed = new AbortController();

  constructor(stream: Writable, human: boolean) {
    this.#stream = stream;
    this.human = human;
    // `omnibus tail | head`: the reader has gone; that is an end, not a failure.
    stream.on("error", (error) => this.#closed.abort(error));
  }

  /** Aborted when nobody reads any more. */
  get closed(): AbortSignal {
    return this.#closed.signal;
  }

  /** Resolves when it is written; rejects with `ClosedPipe` when nobody reads. */
  line(text: string): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.closed.aborted) reject(new ClosedPipe());
      else {
        this.#stream.write(`${text}\n`, (error) => {
          if (error === null || error === undefined) resolve();
          else if ((error as NodeJS.ErrnoException).code === "EPIPE") reject(new ClosedPipe());
          else reject(error);
        });
      }
    });
  }

  json(value: unknown): Promise<void> {
    return this.line(jsonText(value));
  }

  async lines(lines: readonly string[]): Promise<void> {
    if (lines.length > 0) await this.line(lines.join("\n"));
  }

  /** Rows as a table or as JSON lines. */
  async rows<Row>(
    rows: readonly Row[],
    columns: readonly Column<Row>[],
    json: (row: Row) => unknown,
    none: string,
  ): Promise<void> {
    if (!this.human) await this.lines(rows.map((row) => jsonText(json(row))));
    else await this.lines(rows.length === 0 ? [none] : table(columns, rows));
  }
}
